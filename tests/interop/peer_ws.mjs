// The npm package `ws` as a peer: `node peer_ws.mjs server OPTIONS` and `... client URL OPTIONS`.
// A server prints its port; a client prints one JSON object about what it saw.
import { createRequire } from "node:module";
const require = createRequire(process.env.WS_FOLDER + "/");
const { WebSocket, WebSocketServer } = require("ws");

const [role, ...rest] = process.argv.slice(2);
const options = JSON.parse(rest[rest.length - 1]);
const deflate = options.deflate === false ? false : { threshold: 0, ...options.deflate };

if (role === "server") {
  const server = new WebSocketServer({
    host: "127.0.0.1",
    port: 0,
    perMessageDeflate: deflate,
    maxPayload: 64 << 20,
    handleProtocols: (offered) => (offered.has("chat") ? "chat" : false),
  });
  server.on("listening", () => console.log(server.address().port));
  server.on("connection", (ws) => {
    ws.on("error", () => {});
    ws.on("message", (data, binary) => {
      if (!binary && data.toString().startsWith("close ")) {
        const [, code, ...reason] = data.toString().split(" ");
        ws.close(Number(code), reason.join(" "));
      } else if (!binary && data.toString() === "ping me") {
        ws.ping("from ws");
        ws.once("pong", (body) => ws.send("pong " + body));
      } else if (!binary && data.toString() === "fragments") {
        ws.send("one ", { fin: false });
        ws.send("€ ", { fin: false });
        ws.send("three", { fin: true });
      } else {
        ws.send(data, { binary });
      }
    });
  });
  process.stdin.on("end", () => process.exit(0)).resume();
} else {
  const ws = new WebSocket(rest[0], ["other", "chat"], {
    perMessageDeflate: deflate,
    maxPayload: 64 << 20,
  });
  const big = Buffer.alloc(5_000_000, "0123456789abcdef-");
  const seen = { echoes: [], pong: null };
  const script = [
    ["", false],
    ["€ 😀", false],
    [Buffer.from([0, 255, 128]), true],
    [big, true],
    ["x".repeat(70000), false],
  ];
  let at = 0;
  const next = () => {
    if (at < script.length) return ws.send(script[at][0], { binary: script[at][1] });
    ws.send(Buffer.from("one "), { fin: false, binary: false });
    ws.send(Buffer.from("two"), { fin: true });
    ws.ping("hi");
  };
  ws.on("open", next);
  ws.on("pong", (data) => {
    seen.pong = data.toString();
  });
  ws.on("message", (data, binary) => {
    if (at < script.length) {
      const [sent, kind] = script[at++];
      seen.echoes.push(binary === kind && Buffer.compare(data, Buffer.from(sent)) === 0);
      next();
    } else if (data.toString() === "one two") {
      ws.send("close 4321 goodbye €");
    }
  });
  ws.on("close", (code, reason) => {
    seen.code = code;
    seen.reason = reason.toString();
    seen.protocol = ws.protocol;
    seen.extensions = ws.extensions;
    console.log(JSON.stringify(seen));
  });
  ws.on("error", (error) => {
    seen.error = String(error);
  });
}
