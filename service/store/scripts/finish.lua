#!lua flags=allow-oom
-- Finish jobs that are not ours but arq's own. ARGV: prefix, queue, then per job 5: job, token, step, argument, result_ms.
-- Steps: done (argument: result to keep for result_ms), retry (argument: delay_ms), release (the try is given back), bury
-- (argument: reason; the original bytes are kept). Gives per job 1, or 0 if the lease is in other hands.
-- A job of ours can only be released, and even after its lease has ended (in an outage), while nobody else has taken its
-- event up: who had it is written on it.
local answers = {}

local function give_back(job, token)
  local id = starts_with(job, lane_prefix) and redis.call('LINDEX', job, 0) or string.sub(job, #effects_prefix + 1)
  local event = prefix .. 'event:' .. id
  if redis.call('HGET', event, 'running') ~= token then
    return 0
  end
  redis.call('HDEL', event, 'running')
  redis.call('HINCRBY', event, 'attempts', -1)
  requeue(job, now)
  return 1
end

local function finish(i)
  local job, step, argument = ARGV[i], ARGV[i + 2], ARGV[i + 3]
  if starts_with(job, lane_prefix) or starts_with(job, effects_prefix) then
    return step == 'release' and give_back(job, ARGV[i + 1]) or 0
  end
  if redis.call('GET', lock_of(job)) ~= ARGV[i + 1] then
    return 0
  end
  if step == 'retry' then
    requeue(job, now + tonumber(argument))
  elseif step == 'release' then
    redis.call('DECR', 'arq:retry:' .. job)
    requeue(job, now)
  else
    if step == 'bury' then
      local payload = redis.call('GET', 'arq:job:' .. job) or ''
      redis.call('XADD', prefix .. 'dead_jobs', '*', 'job', job, 'reason', argument, 'payload', payload)
    elseif tonumber(ARGV[i + 4]) > 0 then
      redis.call('SET', 'arq:result:' .. job, argument, 'PX', ARGV[i + 4])
    end
    drop_job(job)
  end
  return 1
end

for i = 3, #ARGV, 5 do
  answers[#answers + 1] = finish(i)
end
return answers
