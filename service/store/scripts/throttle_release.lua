#!lua flags=allow-oom
-- Release the permit of a call to an account or destination, and update its circuit breaker. ARGV: prefix, queue, account,
-- token, outcome, retry_after_ms (0: none), failures_max, first open time in ms, longest open time in ms.
-- Outcomes: ok; rejected (an error response of a working platform); failed (no response, or a server error);
-- rate_limited (429, or a Retry-After); unknown. Consecutive failures, or one rate_limited, open the circuit for all
-- workers. The open time doubles with each failed probe.
-- Returns {'unchanged', 0}, {'closed', 0}, {'opened', ms} if this call opened the circuit, or {'open', ms} if it was
-- open, or a failed probe keeps it open.
local account, token, outcome, retry_after_ms = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local circuits, probe = prefix .. 'circuits', prefix .. 'probe:' .. account
redis.call('ZREM', prefix .. 'flight:' .. account, token)
local probed = token ~= '' and redis.call('GET', probe) == token
if probed then
  redis.call('DEL', probe)
end

local circuit = redis.call('HGET', circuits, account)
local until_ms, failures, openings = 0, 0, 0
if circuit then
  local one, two, three = string.match(circuit, '^(%d+):(%d+):(%d+)$')
  if not three then
    number_of(circuits, circuit) -- damaged
  end
  until_ms, failures, openings = number_of(circuits, one), number_of(circuits, two), number_of(circuits, three)
end

local function save()
  redis.call('HSET', circuits, account, string.format('%d:%d:%d', until_ms, failures, openings))
end

if outcome == 'unknown' or (outcome == 'rejected' and not probed) then
  return {'unchanged', 0}
elseif outcome == 'ok' or outcome == 'rejected' then
  if not circuit or until_ms > now then
    return {'unchanged', 0}
  end
  redis.call('HDEL', circuits, account)
  return {until_ms > 0 and 'closed' or 'unchanged', 0}
end

if until_ms > now then
  if now + retry_after_ms > until_ms then
    until_ms = now + retry_after_ms
    save()
  end
  return {'open', until_ms - now}
end
failures = failures + 1
if outcome == 'failed' and failures < tonumber(ARGV[7]) and until_ms == 0 then
  save()
  return {'unchanged', 0}
end
local open_ms = math.min(tonumber(ARGV[8]) * 2 ^ math.min(openings, 20), tonumber(ARGV[9]))
if retry_after_ms > 0 then
  open_ms = retry_after_ms
end
openings = openings + 1
until_ms = now + open_ms
save()
return {openings == 1 and 'opened' or 'open', open_ms}
