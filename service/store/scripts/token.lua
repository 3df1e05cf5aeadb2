#!lua flags=allow-oom
-- Cache one access token for all pods; one process fetches it at a time. ARGV: prefix, queue, step, name, holder, then
-- by step:
-- get: fetch_ms. Returns {token, its lifetime in ms}, {} (fetch it), or {ms to wait} while another process fetches.
-- put: token, its lifetime in ms. invalidate: the rejected token, or '' to stop fetching.
local step, key, holder = ARGV[3], prefix .. 'token:' .. ARGV[4], ARGV[5]
local fetching = key .. ':fetching'
local RETRY_MS = 50

local function stop_fetching()
  if redis.call('GET', fetching) == holder then
    redis.call('DEL', fetching)
  end
end

if step == 'put' then
  redis.call('SET', key, ARGV[6], 'PX', ARGV[7])
  stop_fetching()
elseif step == 'invalidate' then
  if ARGV[6] == '' then
    stop_fetching()
  elseif redis.call('GET', key) == ARGV[6] then
    redis.call('DEL', key)
  end
else
  local token = redis.call('GET', key)
  if token then
    return {token, redis.call('PTTL', key)}
  end
  holder_of(fetching)
  local other = redis.call('SET', fetching, holder, 'NX', 'GET', 'PX', ARGV[6])
  if other and other ~= holder then
    return {RETRY_MS}
  end
end
return {}
