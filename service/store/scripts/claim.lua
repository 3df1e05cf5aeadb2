#!lua flags=allow-oom
-- Take up to n due jobs under a lease, each with what its run needs to begin.
-- ARGV: prefix, queue, n, lease_ms, worker, call, deaths that make a suspect, how many jobs the worker has in hand, the
-- suspect's job it emptied its hands for ('' for none). The lease token is worker .. call, so that a worker that lost a
-- lease and takes the same job up again is fenced off from its own past. Repeated with the same call, it gives the same
-- jobs. A suspect is taken up by itself only: what it takes down then is its own doing, and nothing else's.
-- Gives {now, score of the next job or false, {job, score, payload, detail, …} …, job of a suspect left or false}.
local lease, token = tonumber(ARGV[4]), ARGV[5] .. ':' .. ARGV[6]
local receipt = prefix .. 'receipt:' .. ARGV[5]
local jobs = {}
local SUSPECT_WAIT_MS = 50
local deaths_of_suspect, in_hand, wanted = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local left, alone = false, false
if in_hand > 0 then
  suspect_deaths = deaths_of_suspect
end

local function detail(job)
  if starts_with(job, lane_prefix) then
    local head = head_of(job, token)
    if not head then
      drop_job(job)
      return nil
    end
    if head == 'suspect' then
      return head
    end
    return {head, record_of(job)}
  end
  if starts_with(job, effects_prefix) then
    local id = string.sub(job, #effects_prefix + 1)
    if not redis.call('ZSCORE', open, id) then
      drop_job(job)
      return nil
    end
    local head = take_up(id, token)
    if head == 'suspect' then
      return head
    end
    return {head}
  end
  local tries = redis.call('INCR', 'arq:retry:' .. job)
  redis.call('EXPIRE', 'arq:retry:' .. job, 2592000)
  return {tries}
end

local function take(job, score)
  local given = detail(job)
  if given == 'suspect' then
    redis.call('DEL', lock_of(job))
    redis.call('ZADD', queue, 'XX', now + SUSPECT_WAIT_MS, job)
    left = left or job
  elseif given then
    suspect_deaths = deaths_of_suspect -- from here on this worker has company for it
    alone = type(given[1]) == 'table' and given[1][5] >= deaths_of_suspect
    jobs[#jobs + 1] = {job, score, redis.call('GET', 'arq:job:' .. job), given}
  end
end

local earlier = redis.call('GET', receipt)
if earlier then
  earlier = cjson.decode(earlier)
end
if earlier and earlier[1] == ARGV[6] then
  for i = 2, #earlier do
    if redis.call('GET', lock_of(earlier[i])) == token then
      take(earlier[i], now)
    end
  end
else
  local due = {wanted, redis.call('ZSCORE', queue, wanted)}
  if wanted == '' then
    due = redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[3])
  elseif not due[2] or tonumber(due[2]) > now + SUSPECT_WAIT_MS then
    due = {} -- it is in other hands, or over
  end
  local taken = {ARGV[6]}
  for i = 1, #due, 2 do
    local job = due[i]
    if redis.call('SET', lock_of(job), token, 'NX', 'PX', lease) then
      redis.call('ZADD', queue, 'XX', now + lease, job)
      taken[#taken + 1] = job
      take(job, due[i + 1])
      if alone then
        break
      end
    elseif wanted == '' then
      -- Held by a worker that does not move the score (plain arq): look again when its lock ends.
      redis.call('ZADD', queue, 'XX', now + math.max(redis.call('PTTL', lock_of(job)), 50), job)
    end
  end
  if #taken > 1 then
    redis.call('SET', receipt, cjson.encode(taken), 'PX', lease)
  end
end
local nearest = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
if nearest and tonumber(nearest) <= now then
  wake_one()
end
return {now, nearest or false, jobs, left}
