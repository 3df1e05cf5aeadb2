#!lua flags=allow-oom
-- Make parked jobs of one account due, the oldest first. ARGV: prefix, queue, account, 'probe' (its circuit is half
-- open: one job a second) or 'closed' (twice as many as in the second before), first and largest number a second.
-- One call a second frees jobs, whatever the number of workers. Returns the number of freed jobs.
local key, state = prefix .. 'parked:' .. ARGV[3], prefix .. 'recovery:' .. ARGV[3]
local since = prefix .. 'parked_since:' .. ARGV[3]
local INTERVAL_MS, STATE_MS, PROBE_MS = 1000, 10000, 60000
local held = fields_of(state, 'at', 'jobs') or {}
if held[1] and number_of(state, held[1]) + INTERVAL_MS > now then
  return 0
end
local number = 1
if ARGV[4] == 'closed' then
  number = math.min(math.max(2 * number_of(state, held[2]), tonumber(ARGV[5])), tonumber(ARGV[6]))
end
redis.call('HSET', state, 'at', now, 'jobs', ARGV[4] == 'closed' and number or 0)
redis.call('PEXPIRE', state, STATE_MS)
local jobs = redis.call('ZRANGE', key, 0, number - 1)
-- A probe that fails parks its job again: the time since which the account has parked jobs is kept. If no other job is
-- parked, it is kept for a minute, because the probe may also end its job.
if ARGV[4] == 'closed' then
  redis.call('DEL', since)
elseif jobs[1] then
  redis.call('SET', since, redis.call('ZSCORE', key, jobs[1]), 'NX')
  redis.call('PEXPIRE', since, redis.call('ZCARD', key) > 1 and SINCE_MS or PROBE_MS)
end
for _, job in ipairs(jobs) do
  if tonumber(redis.call('ZSCORE', queue, job) or 0) == PARKED then
    redis.call('ZADD', queue, 'XX', now, job)
    wake_one()
  end
  redis.call('ZREM', key, job)
end
if redis.call('ZCARD', key) == 0 and redis.call('EXISTS', since) == 0 then
  redis.call('SREM', prefix .. 'parked', ARGV[3])
end
return #jobs
