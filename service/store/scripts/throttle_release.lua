#!lua flags=allow-oom
-- How a call to a platform account ended. ARGV: prefix, queue, account, token, outcome, asked_ms (what the platform asked
-- to wait, 0: nothing), failures_max, first pause in ms, longest pause in ms.
-- Outcomes: ok; answered (no success, but it lives); failed (it does not answer as it should); asked (it says "not now");
-- left (nobody knows). Consecutive failures, or one "not now", make the account rest for everybody; each rest that ends
-- in another failure is twice as long. Gives {'fine', 0}, {'resumed', 0}, {'paused', ms} if this call made it rest,
-- or {'rests', ms} if it did already.
local account, token, outcome, asked_ms = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local pauses, probe = prefix .. 'pauses', prefix .. 'probe:' .. account
redis.call('ZREM', prefix .. 'flight:' .. account, token)
local probed = token ~= '' and redis.call('GET', probe) == token
if probed then
  redis.call('DEL', probe)
end

local rest = redis.call('HGET', pauses, account)
local until_ms, failures, rests = 0, 0, 0
if rest then
  local one, two, three = string.match(rest, '^(%d+):(%d+):(%d+)$')
  until_ms, failures, rests = tonumber(one), tonumber(two), tonumber(three)
end

local function keep()
  redis.call('HSET', pauses, account, string.format('%d:%d:%d', until_ms, failures, rests))
end

if outcome == 'left' or (outcome == 'answered' and not probed) then
  return {'fine', 0}
elseif outcome == 'ok' or outcome == 'answered' then
  if not rest or until_ms > now then
    return {'fine', 0}
  end
  redis.call('HDEL', pauses, account)
  return {until_ms > 0 and 'resumed' or 'fine', 0}
end

if until_ms > now then
  if now + asked_ms > until_ms then
    until_ms = now + asked_ms
    keep()
  end
  return {'rests', until_ms - now}
end
failures = failures + 1
if outcome == 'failed' and failures < tonumber(ARGV[7]) and until_ms == 0 then
  keep()
  return {'fine', 0}
end
local pause_ms = math.min(tonumber(ARGV[8]) * 2 ^ math.min(rests, 20), tonumber(ARGV[9]))
if asked_ms > 0 then
  pause_ms = asked_ms
end
rests = rests + 1
until_ms = now + pause_ms
keep()
return {'paused', pause_ms}
