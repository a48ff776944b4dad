// Plays one recorded session with a public client: sends the client's frames where they stand in
// the recording, after as many events of the server as stand before them.
// stdin: {"client", "url", "key", "model", "frames": [{"dir", "text"}]}; stdout: {"events", "close"}

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { join, normalize } from 'node:path';

const text = async (stream) => {
  let all = '';
  for await (const chunk of stream) all += chunk;
  return all;
};

const asked = JSON.parse(await text(process.stdin));

/** `send` and `close` act on the connection; gives a function that is told each event. */
function player(frames, send, close) {
  const events = [];
  let at = 0;
  const speak = () => {
    while (at < frames.length && frames[at].dir === 'client') send(JSON.parse(frames[at++].text));
    if (at >= frames.length) close();
  };
  return {
    events,
    start: speak,
    hear(event) {
      events.push(event);
      at += 1;
      speak();
    },
  };
}

async function withOpenai() {
  const { OpenAI } = await import('openai');
  const { OpenAIRealtimeWS } = await import('openai/realtime/ws');
  const client = new OpenAI({ apiKey: asked.key, baseURL: asked.url });
  const connection = await OpenAIRealtimeWS.create(client, { model: asked.model });
  return await new Promise((resolve) => {
    const play = player(asked.frames, (e) => connection.send(e), () => connection.close());
    connection.on('error', () => {});
    connection.on('event', (event) => play.hear(event));
    connection.socket.on('close', (code, reason) =>
      resolve({ events: play.events, close: [code, String(reason)] }),
    );
  });
}

async function withAgents() {
  const { OpenAIRealtimeWebSocket } = await import('@openai/agents-realtime');
  const url = `${asked.url.replace(/^http/, 'ws')}/realtime?model=${asked.model}`;
  const transport = new OpenAIRealtimeWebSocket({ url });
  transport.on('error', () => {});
  return await new Promise((resolve) => {
    const play = player(
      asked.frames,
      // Its own settings go out with the connection: the recorded ones are not said as well.
      (event) => event.type === 'session.update' || transport.sendEvent(event),
      () => resolve({ events: play.events, close: null }),
    );
    transport.on('*', (event) => event.event_id && play.hear(event));
    transport.connect({ apiKey: asked.key, model: asked.model });
  });
}

async function withBrowser() {
  const { chromium } = await import('playwright-core');
  const here = new URL('./node_modules/', import.meta.url).pathname;
  const server = createServer(async (request, response) => {
    if (request.url === '/') return response.setHeader('content-type', 'text/html').end('<p>page');
    try {
      const body = await readFile(join(here, normalize(request.url)));
      response.setHeader('content-type', 'text/javascript').end(body);
    } catch {
      response.writeHead(404).end();
    }
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const browser = await chromium.launch({
    executablePath: asked.browser,
    // The test's own certificate is nobody's.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--ignore-certificate-errors'],
  });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    return await page.evaluate(inPage, { ...asked, player: player.toString() });
  } finally {
    await browser.close();
    server.close();
  }
}

async function inPage(asked) {
  const { OpenAI } = await import('/openai/index.mjs');
  const { OpenAIRealtimeWebSocket } = await import('/openai/realtime/websocket.mjs');
  const player = new Function(`return (${asked.player})`)();
  const client = new OpenAI({
    apiKey: asked.key,
    baseURL: asked.url,
    dangerouslyAllowBrowser: true,
  });
  const connection = new OpenAIRealtimeWebSocket(
    { model: asked.model, dangerouslyAllowBrowser: true },
    client,
  );
  return await new Promise((resolve) => {
    const play = player(asked.frames, (e) => connection.send(e), () => connection.close());
    connection.on('error', () => {});
    connection.on('event', (event) => play.hear(event));
    connection.socket.addEventListener('close', (event) =>
      resolve({
        events: play.events,
        close: [event.code, event.reason],
        protocol: connection.socket.protocol,
      }),
    );
  });
}

const clients = { openai: withOpenai, agents: withAgents, browser: withBrowser };
process.stdout.write(JSON.stringify(await clients[asked.client]()));
process.exit(0);
