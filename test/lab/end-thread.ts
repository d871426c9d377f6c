// Ends one thread of a Node process as a fault inside of it would, or hangs it, by the process's own debugger (SIGUSR1
// opened its port).
//
//   node --experimental-websocket end-thread.js NAME [hang]
interface Socket {
  onmessage: (event: { data: string }) => void;
  onopen: () => void;
  send(text: string): void;
}
interface Target {
  readonly sessionId: string;
  readonly workerInfo: { readonly title: string };
}
declare const WebSocket: new (url: string) => Socket;

const [, , name, how] = process.argv;
const expression = how === 'hang' ? 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)' : 'process.exit(3)';
const [{ webSocketDebuggerUrl }] = (await (await fetch('http://127.0.0.1:9229/json')).json()) as [
  { webSocketDebuggerUrl: string },
];
const socket = new WebSocket(webSocketDebuggerUrl);
let id = 0;
const ask = (method: string, params: object): void => socket.send(JSON.stringify({ id: ++id, method, params }));
socket.onopen = () => ask('NodeWorker.enable', { waitForDebuggerOnStart: false });
socket.onmessage = ({ data }) => {
  const { method, params } = JSON.parse(data) as { method?: string; params?: Target };
  if (method !== 'NodeWorker.attachedToWorker' || !params?.workerInfo.title.includes(name)) return;
  const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
  ask('NodeWorker.sendMessageToWorker', { sessionId: params.sessionId, message });
  setTimeout(() => process.exit(0), 1000);
};
