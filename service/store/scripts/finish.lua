#!lua flags=allow-oom
-- Finish plain arq jobs, and release any job. ARGV: prefix, queue, then 5 per job: job, token, step, argument,
-- result_ms.
-- Steps: done (argument: the result, stored for result_ms), retry (argument: delay_ms), release (do not count the
-- attempt), bury (argument: reason; stores the original bytes). Returns per job 1, or 0 if the lease was lost.
-- A lane or effects job can only be released, or buried if its id is not text. This works after its lease expired too, as long as no other worker
-- started its event: the event stores the token.
local answers = {}

local function release_attempt(job, token)
  local id = starts_with(job, lane_prefix) and has_type(job, 'list') and redis.call('LINDEX', job, 0) or string.sub(job, #effects_prefix + 1)
  local event = prefix .. 'event:' .. id
  if field(event, 'running') ~= token then
    return 0
  end
  redis.call('HDEL', event, 'running')
  redis.call('HINCRBY', event, 'attempts', -1)
  requeue(job, now)
  return 1
end

local function finish(i)
  local job, step, argument = ARGV[i], ARGV[i + 2], ARGV[i + 3]
  if step ~= 'bury' and (starts_with(job, lane_prefix) or starts_with(job, effects_prefix)) then
    return step == 'release' and release_attempt(job, ARGV[i + 1]) or 0
  end
  if text(lease_key(job)) ~= ARGV[i + 1] then
    return 0
  end
  if step == 'retry' then
    requeue(job, now + tonumber(argument))
  elseif step == 'release' then
    redis.call('DECR', 'arq:retry:' .. job)
    requeue(job, now)
  else
    if step == 'bury' then
      local payload = text('arq:job:' .. job) or ''
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
