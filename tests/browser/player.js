// Plays a script (see scripts.py) in a page: calls what it says, and logs what happens.
async (job) => {
  const log = [];
  let ws = null, stream = null, reader = null, writer = null, controller = null;
  const heard = {}, waited = {}, waiting = [], defined = {}, calls = {};

  const value = (v) => {
    if (v === null || typeof v !== "object") return v;
    if ("undefined" in v) return undefined;
    if ("bytes" in v) return new Uint8Array(v.bytes);
    if ("buffer" in v) return new Uint8Array(v.buffer).buffer;
    if ("blob" in v) return new Blob([new Uint8Array(v.blob)]);
    if ("utf16" in v) return String.fromCharCode(...v.utf16);
    if ("repeat" in v) return v.repeat[0].repeat(v.repeat[1]);
    if ("error" in v) return new WebSocketError("told", v.error);
    if ("dom" in v) return new DOMException("told", v.dom);
    return v;
  };
  const address = (url) => url.replace("{server}", job.server).replace("{nobody}", job.nobody);
  const shown = (v) => {
    if (typeof v === "string") return ["text", v];
    if (v instanceof Blob) return ["blob", v.size];
    if (v === undefined || v === null) return null;
    return ["bytes", [...new Uint8Array(v)]];
  };
  const described = (e) => {
    const entry = [e.type, e.target.readyState];
    if (e.type === "open") entry.push(e.target.extensions, e.target.protocol);
    if (e.type === "message") entry.push(shown(e.data), e.origin, e.lastEventId, e.source);
    if (e.type === "close") entry.push(e.code, e.reason, e.wasClean);
    return entry.concat([e.bubbles, e.cancelable, e.isTrusted, e.eventPhase]);
  };
  const refused = (e) => [e.name, e instanceof WebSocketError ? e.closeCode : null,
                          e instanceof WebSocketError ? e.reason : null];

  const arrive = (type) => {
    heard[type] = (heard[type] || 0) + 1;
    for (const wake of waiting.splice(0)) setTimeout(wake);  // when all listeners were called
  };
  const waitFor = async (type) => {
    waited[type] = (waited[type] || 0) + 1;
    while ((heard[type] || 0) < waited[type]) await new Promise((wake) => waiting.push(wake));
  };
  const attempt = (name, f) => {
    try { f(); log.push([name, "ok"]); } catch (e) { log.push([name, e.name]); }
  };
  const settle = async (name, f) => {
    try { log.push([name, "ok", await f()]); } catch (e) { log.push([name, "rejected", ...refused(e)]); }
  };

  const act = {
    new: (url, ...rest) => attempt("new", () => {
      ws = new WebSocket(address(url), ...rest);
      for (const type of ["open", "message", "error", "close"])
        ws.addEventListener(type, (e) => {
          log.push(described(e));
          for (const step of calls[type] || []) run(step, e);
          arrive(type);
        });
    }),
    on: (type, steps) => { calls[type] = steps; },
    send: (v) => attempt("send", () => ws.send(value(v))),
    close: (...rest) => attempt("close", () => ws.close(...rest.map(value))),
    get: (name) => { log.push(["get", name, ws[name]]); },
    constant: (name) => { log.push(["constant", name, WebSocket[name], ws[name]]); },
    set: (name, v) => { ws[name] = v; },
    define: (name, steps) => {
      defined[name] = (e) => {
        log.push(["heard", name, e.type]);
        for (const step of steps) run(step, e);
      };
    },
    listen: (type, name, options) => ws.addEventListener(type, defined[name], options),
    unlisten: (type, name, options) => ws.removeEventListener(type, defined[name], options),
    listen_until_aborted: (type, name) => {
      controller = new AbortController();
      ws.addEventListener(type, defined[name], { signal: controller.signal });
    },
    abort_controller: () => controller.abort(),
    handler: (type, name) => { ws["on" + type] = name === null ? null : defined[name]; },
    throw: () => { throw new Error("told to"); },
    stop: (_, e) => e.stopPropagation(),
    stop_at_once: (_, e) => e.stopImmediatePropagation(),
    dispatch: (type) => attempt("dispatch", () => ws.dispatchEvent(new Event(type))),
    dispatch_again: (_, e) => attempt("dispatch", () => ws.dispatchEvent(e)),
    wait: waitFor,
    until: async (name, v) => {
      while (ws[name] !== v) await new Promise((wake) => setTimeout(wake, 5));
    },

    stream: (url, options, abortable) => attempt("stream", () => {
      controller = new AbortController();
      const extra = abortable ? { signal: controller.signal } : {};
      stream = new WebSocketStream(address(url), { ...options, ...extra });
    }),
    opened: () => settle("opened", async () => {
      const opened = await stream.opened;
      reader = opened.readable.getReader();
      writer = opened.writable.getWriter();
      return [opened.extensions, opened.protocol];
    }),
    closed: () => settle("closed", async () => {
      const { closeCode, reason } = await stream.closed;
      return [closeCode, reason];
    }),
    read: () => settle("read", async () => {
      const { value, done } = await reader.read();
      return [shown(value), done];
    }),
    write: (v) => settle("write", async () => { await writer.write(value(v)); return null; }),
    close_stream: (info) => attempt("close", () => stream.close(info)),
    close_writer: () => settle("close writer", async () => { await writer.close(); return null; }),
    cancel: (v) => settle("cancel", async () => { await reader.cancel(value(v)); return null; }),
    abort: (v) => settle("abort", async () => { await writer.abort(value(v)); return null; }),
    reader_closed: () => settle("reader closed", async () => { await reader.closed; return null; }),
    writer_closed: () => settle("writer closed", async () => { await writer.closed; return null; }),
    desired_size: () => { log.push(["desiredSize", writer.desiredSize]); },
    stream_url: () => { log.push(["url", stream.url]); },
    make_error: (message, init) => settle("error", async () => {
      const e = new WebSocketError(message, init);
      return [e.name, e.message, e.closeCode, e.reason, e.code, e instanceof DOMException];
    }),
  };
  const run = ([name, ...rest], e) =>
    ["stop", "stop_at_once", "dispatch_again"].includes(name) ? act[name](null, e) : act[name](...rest);

  window.onerror = () => true;
  for (const step of job.steps) await run(step);
  return log;
}
