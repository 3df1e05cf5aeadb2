// What ingress, seeding and worker share: the queue's name, the store, how a job is kept.

import { Redis } from "ioredis";
import pino from "pino";

export const QUEUE = "events";
export const SOURCE = "pack-orders";

const WINDOW_SECONDS = 259_200;

// A job's id is the claim: as long as the job is kept, the same event is not queued again.
export const JOB_OPTIONS = {
  attempts: 10,
  backoff: { type: "exponential", delay: 1_000 },
  removeOnComplete: { age: WINDOW_SECONDS },
  removeOnFail: { age: 4 * WINDOW_SECONDS },
};

export function connect() {
  const path = process.env.WAYBILL_REDIS_URL.replace("unix://", "");
  return new Redis({ path, maxRetriesPerRequest: null });
}

export function log() {
  return pino({ base: undefined, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination("/dev/null"));
}
