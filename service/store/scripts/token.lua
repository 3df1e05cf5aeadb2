#!lua flags=allow-oom
-- One access token for all pods, fetched by one at a time. ARGV: prefix, queue, step, name, holder, then
-- take: fetch_ms. Gives {token, ms it lives}, {} (fetch it), or {ms to wait} while another one fetches.
-- keep: token, ms it lives. drop: token that was refused; '' gives up fetching.
local step, key, holder = ARGV[3], prefix .. 'token:' .. ARGV[4], ARGV[5]
local fetching = key .. ':fetching'
local LOOK_MS = 50

local function give_up()
  if redis.call('GET', fetching) == holder then
    redis.call('DEL', fetching)
  end
end

if step == 'keep' then
  redis.call('SET', key, ARGV[6], 'PX', ARGV[7])
  give_up()
elseif step == 'drop' then
  if ARGV[6] == '' then
    give_up()
  elseif redis.call('GET', key) == ARGV[6] then
    redis.call('DEL', key)
  end
else
  local token = redis.call('GET', key)
  if token then
    return {token, redis.call('PTTL', key)}
  end
  local other = redis.call('SET', fetching, holder, 'NX', 'GET', 'PX', ARGV[6])
  if other and other ~= holder then
    return {LOOK_MS}
  end
end
return {}
