"""Django Channels on uvicorn with duplexer's WebSockets: a chat with groups, in a single file.

python examples/channels_chat.py [PORT]
duplexer connect --origin http://localhost ws://localhost:8765/chat/kitchen      several times
"""

import sys
from typing import Any

import django
import uvicorn
from django.conf import settings

# In a project of your own this is settings.py.
settings.configure(
    ALLOWED_HOSTS=["localhost"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()

from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.urls import path  # noqa: E402


class Chat(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def receive_json(self, content: Any) -> None:
        await self.channel_layer.group_send(self.room, {"type": "said", "what": content})

    async def said(self, event: dict[str, Any]) -> None:
        await self.send_json({"room": self.room, "said": event["what"]})

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)


# Whose pages may connect is left to the application: this lets in those of ALLOWED_HOSTS, and
# nobody who does not say which page it is.
app = ProtocolTypeRouter(
    {
        "websocket": AllowedHostsOriginValidator(
            URLRouter([path("chat/<slug:room>", Chat.as_asgi())])
        )
    }
)

if __name__ == "__main__":
    uvicorn.run(
        app,
        host="localhost",
        port=int(sys.argv[1]) if len(sys.argv) > 1 else 8765,
        ws="duplexer.asgi.uvicorn:WebSocketProtocol",
        lifespan="off",
    )
