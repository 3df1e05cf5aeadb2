#!lua flags=allow-oom
-- Finish jobs that are not ours but arq's own. ARGV: prefix, queue, then per job 5: job, token, step, argument, result_ms.
-- Steps: done (argument: result to keep for result_ms), retry (argument: delay_ms), release (the try is given back), bury
-- (argument: reason; the original bytes are kept). Gives per job 1, or 0 if the lease is in other hands.
local answers = {}

local function finish(i)
  local job, step, argument = ARGV[i], ARGV[i + 2], ARGV[i + 3]
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
