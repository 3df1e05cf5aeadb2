// node worker.mjs <jobs> <stub> <jobs at once> <jobs before>: fetch, ten rules, one ledgered POST, three lines per job.
// The first jobs warm up the compiler. The measurement begins after them.

import { Worker } from "bullmq";
import { Pool } from "undici";

import { QUEUE, connect, log } from "./shared.mjs";

const LEDGER_SECONDS = 1_209_600;

const [jobs, atOnce, before] = [2, 4, 5].map((place) => Number(process.argv[place]));
const stub = process.argv[3];
const http = new Pool(stub, { connections: atOnce, pipelining: 1 });
const redis = connect();
const logger = log();

// Prices are summed in hundredths: whole numbers, since floats are no way to add money.
function hundredths(text) {
  const [whole, part = ""] = text.split(".");
  return Number(whole) * 100 + Number(part.padEnd(2, "0"));
}

function evaluate(order) {
  const effects = [];
  const received = order.status === "received";
  let total = 0;
  for (const line of order.lines) total += hundredths(line.price.value) * line.quantity_ordered;
  if (received && total > 10_000 && order.lines.some((line) => line.quantity_received < line.quantity_ordered)) {
    let missing = 0;
    for (const line of order.lines) missing += Math.max(line.quantity_ordered - line.quantity_received, 0);
    effects.push({ order: order.id, missing });
  }
  for (let number = 1; number < 10; number += 1) {
    if (received && order.lines.some((line) => line.quantity_ordered > number * 100)) effects.push({ order: order.id });
  }
  return effects;
}

async function answered(answer) {
  if (answer.statusCode !== 200) throw new Error(`HTTP ${answer.statusCode}`);
  return answer.body;
}

const since = (began) => Number((performance.now() - began).toFixed(2));

async function work(job) {
  const began = performance.now();
  const path = `/v1/organizations/org_1/purchase-orders/${job.data.recordId}`;
  const fetched = await http.request({ path, method: "GET", headers: { authorization: "Bearer bench-token" } });
  const order = await (await answered(fetched)).json();
  logger.info({ event_id: job.id, http_status: fetched.statusCode, duration_ms: since(began) }, "record.fetched");
  const effects = evaluate(order);
  for (let place = 0; place < effects.length; place += 1) {
    const key = `effect:${job.id}:${place}`;
    if ((await redis.set(key, "started", "EX", LEDGER_SECONDS, "NX")) === null) continue;
    const headers = { "content-type": "application/json", "idempotency-key": key };
    const sent = await http.request({ path: "/sink", method: "POST", headers, body: JSON.stringify(effects[place]) });
    await (await answered(sent)).dump();
    await redis.set(key, "done", "EX", LEDGER_SECONDS);
    logger.info({ event_id: job.id, http_status: sent.statusCode, outcome: "ok" }, "action.finished");
  }
  logger.info({ event_id: job.id, outcome: "matched", duration_ms: since(began) }, "attempt.finished");
}

let began = performance.now();
let spentBefore = process.cpuUsage();
const worker = new Worker(QUEUE, work, { connection: connect(), concurrency: atOnce });
let done = 0;
let failed = 0;
worker.on("failed", () => { failed += 1; });
worker.on("completed", () => {
  done += 1;
  if (done === before) {
    began = performance.now();
    spentBefore = process.cpuUsage();
  }
  if (done === jobs) {
    const seconds = (performance.now() - began) / 1000;
    const spent = process.cpuUsage(spentBefore);
    process.stdout.write(JSON.stringify({ seconds, cpu_seconds: (spent.user + spent.system) / 1e6, jobs: done, failed }));
    process.exit(0);
  }
});
