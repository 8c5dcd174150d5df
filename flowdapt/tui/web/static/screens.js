// The page's half of one tab: a terminal, and the line to the program that draws on it.
// The other half, and the rules of the line, are conversation.py.

import { Terminal } from "./vendor/xterm.mjs";
import { FitAddon } from "./vendor/addon-fit.mjs";
import { Unicode11Addon } from "./vendor/addon-unicode11.mjs";

const MOST_COPIED = 1 << 20;
const PATIENCE_MS = 60_000;

history.replaceState(null, "", location.pathname); // the link is used up: nothing to keep or to show
allowTerminalsStyles(document.getElementById("screens").nonce);

const notice = document.getElementById("notice");
const terminal = new Terminal({
  allowProposedApi: true, // widths of characters by Unicode 11
  cursorBlink: false,
  fontFamily: 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace',
  fontSize: 15, // at 14 rows of DejaVu Sans Mono are a part of a pixel too low for its underscores
  linkHandler: { activate: (_event, address) => openLink(address) },
  scrollback: 0,
  theme: { background: "#0b0e14", foreground: "#d7dae0" },
});
const fit = new FitAddon();
const encoder = new TextEncoder();
let line = null;
let session = null;
let ended = false;
let lostAt = 0;
let pause = 250;

terminal.loadAddon(fit);
terminal.loadAddon(new Unicode11Addon());
terminal.unicode.activeVersion = "11";
terminal.open(document.getElementById("terminal"));
terminal.parser.registerOscHandler(52, copy);
terminal.onTitleChange((title) => { document.title = plain(title).slice(0, 200) || "flowdapt"; });
terminal.onData((keys) => send(encoder.encode(keys)));
terminal.onBinary((keys) => send(Uint8Array.from(keys, (key) => key.charCodeAt(0))));
terminal.onResize(({ cols, rows }) => tell({ type: "resize", columns: cols, rows }));
terminal.attachCustomKeyEventHandler(ours);
document.addEventListener("paste", paste, true);
addEventListener("pagehide", () => tell({ type: "bye" }));
new ResizeObserver(() => fit.fit()).observe(document.getElementById("terminal"));
fit.fit();
terminal.focus();
connect();

// The policy of the page forbids styles in attributes and in elements without the nonce; the
// terminal writes both. Through the object model they are allowed, since no text can do that.
function allowTerminalsStyles(nonce) {
  const createElement = Document.prototype.createElement;
  Document.prototype.createElement = function (name, ...options) {
    const made = createElement.call(this, name, ...options);
    if (made instanceof HTMLStyleElement) made.nonce = nonce;
    return made;
  };
  const setAttribute = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    if (name === "style") this.style.cssText = value;
    else setAttribute.call(this, name, value);
  };
}

function connect() {
  const address = new URL("terminal", location.href);
  address.protocol = "ws:";
  line = new WebSocket(address);
  line.binaryType = "arraybuffer";
  line.onopen = () => tell({ type: "open", columns: terminal.cols, rows: terminal.rows, session });
  line.onmessage = ({ data }) => {
    if (typeof data === "string") heed(JSON.parse(data));
    else terminal.write(new Uint8Array(data));
  };
  line.onclose = lost;
}

function heed(message) {
  if (message.type === "session") {
    if (session !== null && session !== message.key) terminal.reset();
    session = message.key;
    lostAt = 0;
    pause = 250;
    show("");
  } else if (message.type === "ended") {
    finish("The screens have been closed. Enter opens them again.");
  } else if (message.type === "refused") {
    finish(plain(message.reason) + ". Enter tries again.");
  }
}

function lost() {
  if (ended) return;
  lostAt ||= Date.now();
  if (Date.now() - lostAt > PATIENCE_MS) {
    finish("The server does not answer: is flowdapt ui --web still running? Enter tries again.");
    return;
  }
  show("The line to the server is broken; trying again …");
  setTimeout(connect, pause);
  pause = Math.min(pause * 2, 4000);
}

function finish(words) {
  ended = true;
  session = null;
  show(words);
}

function ours(event) {
  if (event.type !== "keydown") return true;
  if (ended) {
    if (event.key === "Enter") again();
    return false;
  }
  const command = event.ctrlKey || event.metaKey;
  if (command && event.key.toLowerCase() === "v") return false; // the browser pastes
  if (command && event.key.toLowerCase() === "c" && terminal.hasSelection()) {
    put(terminal.getSelection());
    terminal.clearSelection();
    event.preventDefault();
    return false;
  }
  return true;
}

function again() {
  ended = false;
  lostAt = 0;
  show("");
  terminal.reset();
  connect();
}

function paste(event) {
  event.preventDefault();
  event.stopPropagation();
  const text = event.clipboardData?.getData("text/plain") ?? "";
  // A control character in it could end the paste early and go on as keys.
  if (!ended && text) terminal.paste(plain(text));
}

// The program copies (OSC 52); it is never told what is on the clipboard.
function copy(data) {
  const encoded = data.slice(data.indexOf(";") + 1);
  if (encoded === "?" || encoded.length > MOST_COPIED) return true;
  try {
    put(new TextDecoder().decode(Uint8Array.from(atob(encoded), (one) => one.charCodeAt(0))));
  } catch {
    show("What was to be copied is damaged.");
  }
  return true;
}

function put(text) {
  navigator.clipboard.writeText(text).catch(() =>
    show("The browser does not let this page copy: click into it and copy again."));
}

function openLink(address) {
  const { protocol } = new URL(address);
  if (protocol === "http:" || protocol === "https:") window.open(address, "_blank", "noopener,noreferrer");
}

function plain(text) {
  return text.replace(/[^\P{C}\n\r\t]/gu, "");
}

function tell(message) { send(JSON.stringify(message)); }

function send(data) { if (line?.readyState === WebSocket.OPEN) line.send(data); }

function show(words) {
  notice.textContent = words;
  notice.hidden = !words;
}
