// node seed.mjs <jobs> <body of number 00000000>: fill the queue as the ingress does, many at once.

import { Queue } from "bullmq";

import { JOB_OPTIONS, QUEUE, SOURCE, connect } from "./shared.mjs";

const AT_ONCE = 500;

const jobs = Number(process.argv[2]);
const template = process.argv[3];
const queue = new Queue(QUEUE, { connection: connect(), defaultJobOptions: JOB_OPTIONS });
for (let first = 0; first < jobs; first += AT_ONCE) {
  const chunk = [];
  for (let number = first; number < Math.min(first + AT_ONCE, jobs); number += 1) {
    const text = String(number).padStart(8, "0");
    const data = { body: template.replaceAll("00000000", text), recordId: `po-${text}` };
    chunk.push({ name: "event", data, opts: { jobId: `${SOURCE}-e-${text}` } });
  }
  await queue.addBulk(chunk);
}
process.stdout.write(JSON.stringify({ jobs }));
process.exit(0);
