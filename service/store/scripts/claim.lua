#!lua flags=allow-oom
-- Claim up to n due jobs under a lease, with the data that each attempt needs.
-- ARGV: prefix, queue, n, lease_ms, worker, call, crashes of a suspect, number of jobs the worker runs, job of the
-- suspect that the worker became idle for ('' for none). The lease token is worker:call, so that a worker that lost a
-- lease and claims the same job again is fenced from its earlier attempt. The same call returns the same jobs.
-- A suspect runs alone, so that a crash takes no other job down.
-- Returns {now, score of the next job or false, {job, score, payload, detail} …, job of a skipped suspect or false}.
local lease, token = tonumber(ARGV[4]), ARGV[5] .. ':' .. ARGV[6]
local receipt = prefix .. 'receipt:' .. ARGV[5]
local jobs = {}
local SUSPECT_WAIT_MS = 50
local crashes_of_suspect, running_jobs, requested = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local left, alone = false, false
if running_jobs > 0 then
  suspect_crashes = crashes_of_suspect
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
    if not received_at(id) then
      drop_job(job)
      return nil
    end
    local head = start_attempt(id, token)
    if head == 'suspect' then
      return head
    end
    return {head}
  end
  local tries = redis.pcall('INCR', 'arq:retry:' .. job)
  if type(tries) == 'table' then -- not a count
    tries = 1
    redis.call('SET', 'arq:retry:' .. job, tries)
  end
  redis.call('EXPIRE', 'arq:retry:' .. job, 2592000)
  return {tries}
end

local function take(job, score)
  local given = detail(job)
  if given == 'suspect' then
    redis.call('DEL', lease_key(job))
    redis.call('ZADD', queue, 'XX', now + SUSPECT_WAIT_MS, job)
    left = left or job
  elseif given then
    suspect_crashes = crashes_of_suspect -- the worker now runs another job
    alone = type(given[1]) == 'table' and given[1][5] >= crashes_of_suspect
    jobs[#jobs + 1] = {job, score, text('arq:job:' .. job) or false, given}
  end
end

local is_read, earlier = pcall(cjson.decode, text(receipt) or '')
if is_read and type(earlier) == 'table' and earlier[1] == ARGV[6] then
  for i = 2, #earlier do
    if text(lease_key(earlier[i])) == token then
      take(earlier[i], now)
    end
  end
else
  local due = {requested, redis.call('ZSCORE', queue, requested)}
  if requested == '' then
    due = redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[3])
  elseif not due[2] or tonumber(due[2]) > now + SUSPECT_WAIT_MS then
    due = {} -- another worker claimed it, or it ended
  end
  local taken = {ARGV[6]}
  for i = 1, #due, 2 do
    local job = due[i]
    if redis.call('SET', lease_key(job), token, 'NX', 'PX', lease) then
      redis.call('ZADD', queue, 'XX', now + lease, job)
      taken[#taken + 1] = job
      take(job, due[i + 1])
      if alone then
        break
      end
    elseif requested == '' then
      -- Locked by a plain arq worker, which does not change the score: check again when its lock expires.
      redis.call('ZADD', queue, 'XX', now + math.max(redis.call('PTTL', lease_key(job)), 50), job)
    end
  end
  if #taken > 1 then
    redis.call('SET', receipt, cjson.encode(taken), 'PX', lease)
  end
end
local nearest = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
if nearest and tonumber(nearest) <= now then
  wake_one()
else -- earlier tokens would only cause claims that find nothing
  redis.call('DEL', wake)
end
return {now, nearest or false, jobs, left}
