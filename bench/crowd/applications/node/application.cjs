// How does a Node application call? Express, axios, http and fetch, with OpenTelemetry's agent.
'use strict';

const http = require('node:http');
const { setTimeout: sleep } = require('node:timers/promises');
const axios = require('axios');
const express = require('express');

const HANDED = ['baggage', 'tracestate', 'traceparent'];
const proxy = new URL(process.env.HTTP_PROXY);
const agent = new http.Agent({ keepAlive: true, maxSockets: 128 });
const client = axios.create({ timeout: 60000, validateStatus: () => true, httpAgent: agent });

const denied = [];
function note(mark, status, body) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const ours = text.startsWith('{"type"');
  if ((status === 200 || status === 503) && !ours) return;
  const reason = ours ? JSON.parse(text).type.replace('urn:attache:', '') : `status ${status}`;
  denied.push({ mark, reason });
}

async function get(url, mark, options = {}) {
  const answer = await client.get(url, options);
  note(mark, answer.status, answer.data);
  return answer.status;
}

// There before any request: it has nobody's context.
const jobs = [];
setInterval(() => {
  for (const [url, mark, headers] of jobs.splice(0)) get(url, mark, { headers });
}, 5);

const WAYS = {
  one: (store, mark) => get(`${store}/now/${mark}`, mark),
  all: (store, mark) => Promise.all([1, 2, 3].map(() => get(`${store}/now/${mark}`, mark))),
  async retried(store, mark) {
    while ((await get(`${store}/fails-first/${mark}`, mark)) === 503) await sleep(10);
  },
  async hedged(store, mark) {
    const late = new AbortController();
    const first = get(`${store}/slow-first/${mark}`, mark, { signal: late.signal }).catch(() => 0);
    const second = sleep(50).then(() => get(`${store}/slow-first/${mark}`, mark));
    await Promise.race([first, second]);
    late.abort();
    await second;
  },
  async streamed(store, mark) {
    const url = `${store}/stream/${mark}`;
    const text = await new Promise((resolve, reject) => {
      const request = http.request(
        { agent, host: proxy.hostname, port: proxy.port, path: url, method: 'POST',
          headers: { host: new URL(store).host } },
        (answer) => {
          const seen = [];
          answer.on('data', (piece) => seen.push(piece));
          answer.on('end', () => resolve([answer.statusCode, Buffer.concat(seen).toString()]));
        });
      request.on('error', reject);
      request.write('one');
      setImmediate(() => request.end('two'));
    });
    note(mark, ...text);
    await get(`${store}/now/${mark}`, mark);
  },
  async timed(store, mark) {
    setTimeout(() => get(`${store}/now/${mark}`, mark), 50);
  },
  // fetch of Node before 24 knows no HTTP_PROXY: it calls the sidecar by its address
  async fetched(store, mark) {
    const answer = await fetch(`${proxy.origin}/now/${mark}`);
    note(mark, answer.status, await answer.text());
  },
  async queued(store, mark) {
    jobs.push([`${store}/now/${mark}`, mark, {}]);
  },
  async handed(store, mark, given) {
    const headers = Object.fromEntries(HANDED.map((name) => [name, given[name]]));
    jobs.push([`${store}/now/${mark}`, mark, headers]);
  },
};

const app = express();
app.get('/healthz', (request, response) => response.json({ status: 'ok' }));
app.get('/denied', (request, response) => response.json(denied));
app.get('/do/:way/:store/:mark', async (request, response) => {
  const { way, store, mark } = request.params;
  await WAYS[way](`http://${store}.shop`, mark, request.headers);
  response.json({ mark });
});
const server = app.listen(Number(process.env.PORT), '127.0.0.1');
server.keepAliveTimeout = 120000;
