-- Functions that several scripts share. Prepended to each of them. ARGV[1] is the key prefix, ARGV[2] arq's queue. The
-- last argument is the installation record that the caller expects ('' for any); the scripts do not see it.
local ARGV = ARGV
local prefix, queue, expected, lane_prefix, effects_prefix, open, dead, ended, wake, install, rebuild
local WAKE_TOKENS_MAX = 32
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Use the keys of the shard of these arguments from now on.
local function use_shard(arguments)
  ARGV = arguments
  prefix, queue, expected = ARGV[1], ARGV[2], table.remove(ARGV)
  lane_prefix, effects_prefix = prefix .. 'lane:', prefix .. 'effects:'
  open, dead, ended, wake = prefix .. 'open', prefix .. 'dead', prefix .. 'ended', prefix .. 'wake'
  install, rebuild = prefix .. 'install', prefix .. 'rebuild'
end

local function starts_with(text, head)
  return string.sub(text, 1, #head) == head
end

-- Reads of values that other software may have damaged. One such value must not fail the other items of a call.
-- Return the reply to a command; nil if the key has another type. Other errors fail the call (permission).
local function read(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    return not string.find(reply.err, '^WRONGTYPE') and redis.call(...) or nil
  end
  return reply
end

-- Return a string, or a part of it; nil if there is none, or if the key has another type.
local function text(key, from, to)
  local value = read('GETRANGE', key, from or 0, to or -1)
  return type(value) == 'string' and value ~= '' and value or nil
end

-- Return a field of a hash; nil if there is none, or if the key has another type.
local function field(key, name)
  local value = read('HGET', key, name)
  return type(value) == 'string' and value or nil
end

-- Return fields of a hash, false for each that is absent; nil if the key has another type.
local function fields_of(key, ...)
  return read('HMGET', key, ...)
end

local function has_type(key, name)
  local found = redis.call('TYPE', key).ok
  return found == name or found == 'none'
end

-- Return a stored count, 0 if there is none; nil if it is not a count.
local function count_of(value)
  return tonumber(string.match(value or '0', '^%d%d?%d?%d?%d?%d?%d?%d?%d?$'))
end

-- Return a number of shared state, 0 if there is none. A value that is no number fails the script; its repairing form sets
-- the key aside.
local function number_of(key, value)
  local number = tonumber(value or 0)
  if number and math.abs(number) <= 9e15 then
    return number
  elseif set_aside then
    set_aside(key, 'number')
    return 0
  end
  error({err = 'WRONGTYPE ' .. key .. ' has a value that is no number'})
end

-- Return the holder of a lock. Waybill's locks expire: another program wrote one that does not, and it is removed.
local function holder_of(key)
  local holder = redis.call('GET', key)
  if holder and redis.call('PTTL', key) == -1 then
    redis.call('DEL', key)
    return false
  end
  return holder
end

-- Return one string of a msgpack sequence and the position of the next item; nil if there is no string. The server's
-- own cmsgpack cannot decode the body type that follows.
local function text_at(packed, at)
  local head = string.byte(packed, at)
  if not head then
    return nil
  elseif head >= 0xa0 and head <= 0xbf then
    return string.sub(packed, at + 1, at + head - 0xa0), at + 1 + head - 0xa0
  elseif head == 0xd9 then
    local length = string.byte(packed, at + 1) or 0
    return string.sub(packed, at + 2, at + 1 + length), at + 2 + length
  elseif head == 0xda then
    local high, low = string.byte(packed, at + 1, at + 2)
    local length = (high or 0) * 256 + (low or 0)
    return string.sub(packed, at + 3, at + 2 + length), at + 3 + length
  end
  return nil
end

-- Return source, type, change and lane name of an encoded `Event`; nil if they cannot be decoded.
local function parse_head(packed)
  local head = string.byte(packed, 1)
  if not head then
    return nil
  end
  local at = head == 0xdc and 5 or 3
  local texts = {}
  for i = 1, 7 do
    if i == 5 then
      at = at + 1
    end
    local text, following = text_at(packed, at)
    if not text then
      return nil
    end
    texts[i], at = text, following
  end
  if at > #packed + 1 then -- the last string may be truncated
    return nil
  end
  return {texts[2], texts[3], texts[4], texts[5] .. ':' .. texts[6] .. ':' .. texts[7]}
end

-- A delivery can be large: read its first 1,024 bytes, and all of it only if its names are longer.
local function head_of_delivery(id)
  local key = prefix .. 'delivery:' .. id
  return parse_head(text(key, 0, 1023) or '') or parse_head(text(key) or '')
end

local function lease_key(job)
  return 'arq:in-progress:' .. job
end

-- One token wakes one idle worker. That worker wakes the next one if due jobs remain.
local function wake_one()
  if redis.call('LLEN', wake) < WAKE_TOKENS_MAX then
    redis.call('LPUSH', wake, 1)
  end
end

local function make_job(job, payload, due)
  if redis.call('ZADD', queue, 'NX', due, job) == 1 then
    redis.call('SET', 'arq:job:' .. job, payload)
    return true
  end
  return false
end

local function to_hex(byte)
  return string.format('%02x', string.byte(byte))
end

-- Return the event id and the digest of the content that a dedupe key holds: a zero byte, the 16 bytes of the id, and
-- the digest. A value of another form is an id without a digest.
local function unpack_holder(value)
  if string.byte(value) ~= 0 then
    return value, ''
  end
  return (string.gsub(string.sub(value, 2, 17), '.', to_hex)), string.sub(value, 18)
end

-- Keep the duplicate at ARGV[i] if its content differs from that of the event `first`, instead of an earlier one, and
-- count such duplicates. A repeated call with the same id is not counted. Returns whether the content differs.
local function keep_difference(i, first, content)
  local _, other = unpack_holder(ARGV[i + 6])
  if first == ARGV[i] or content == '' or other == '' or content == other then
    return false
  end
  local key = prefix .. 'differing:' .. first
  if not has_type(key, 'hash') then
    redis.call('DEL', key)
  end
  local count = (count_of(field(key, 'count')) or 0) + (field(key, 'id') == ARGV[i] and 0 or 1)
  redis.call('HSET', key, 'id', ARGV[i], 'count', count, 'at_ms', now, 'delivery', ARGV[i + 4])
  redis.call('PEXPIRE', key, ARGV[i + 2])
  return true
end

-- Store the event at ARGV[i] (id, dedupe key, window_ms, lane, encoded event, job payload, value of the dedupe
-- key), unless its dedupe key is set. Returns the id stored under the dedupe key and whether the content differs, or nil and
-- whether the lane got a new job.
-- A failed command does not undo the earlier ones. A job without an event is dropped by its worker. The dedupe key is
-- set last, so that a set key always refers to a stored event. A dedupe key or a lane of another type holds nothing of
-- ours: it is replaced, and the sweep adds the open events of the lane again.
local function add_event(i)
  local id, dedupe, lane = ARGV[i], prefix .. 'dedupe:' .. ARGV[i + 1], lane_prefix .. ARGV[i + 3]
  local value = read('GET', dedupe)
  if value then
    local holder, content = unpack_holder(value)
    return holder, keep_difference(i, holder, content)
  end
  local made = make_job(lane, ARGV[i + 5], now)
  if type(redis.pcall('RPUSH', lane, id)) == 'table' then -- failed
    if not has_type(lane, 'list') then
      redis.call('DEL', lane)
    end
    redis.call('RPUSH', lane, id)
  end
  redis.call('SET', prefix .. 'delivery:' .. id, ARGV[i + 4])
  redis.call('ZADD', open, now, id)
  redis.call('SET', dedupe, ARGV[i + 6], 'PX', ARGV[i + 2])
  return nil, made
end

-- A parked job stays in the queue with the score PARKED, which is never due. The sorted set `parked:<name>` holds the
-- jobs that wait for one account; the set `parked` holds the names. A job enters the sorted set first.
local PARKED = 9000000000000000
local SINCE_MS = 7200000 -- longer than the longest time of an open circuit, an hour

local function park(job, name)
  redis.call('PEXPIRE', prefix .. 'parked_since:' .. name, SINCE_MS)
  redis.call('SADD', prefix .. 'parked', name)
  redis.call('ZADD', prefix .. 'parked:' .. name, now, job)
  redis.call('ZADD', queue, 'XX', PARKED, job)
  redis.call('DEL', lease_key(job))
end

-- Return since when an account has parked jobs without a break.
local function parked_since(name)
  local key = prefix .. 'parked_since:' .. name
  local since = number_of(key, redis.call('GET', key))
  return since > 0 and since or tonumber(redis.call('ZRANGE', prefix .. 'parked:' .. name, 0, 0, 'WITHSCORES')[2] or now)
end

local function drop_job(job)
  redis.call('ZREM', queue, job)
  redis.call('DEL', lease_key(job), 'arq:job:' .. job, 'arq:retry:' .. job)
end

-- A job that is due later wakes a worker too, so that an idle worker shortens its sleep.
local function requeue(job, due)
  redis.call('ZADD', queue, 'XX', due, job)
  redis.call('DEL', lease_key(job))
  wake_one()
end

-- Return the fields that `end_event` stored (outcome, attempts, ledger, generation, by, asked, reason) and their size
-- in bytes; nil if the history has none.
local function final_fields(id)
  local length = tonumber(string.match(text(prefix .. 'history:' .. id, -5, -1) or '', '^(%d%d%d%d)\2$'))
  if not length then
    return nil
  end
  local fields = text(prefix .. 'history:' .. id, -5 - length, -6) or ''
  local parts = {string.match(fields, '^' .. string.rep('([^\31]*)\31', 6) .. '(.*)$')}
  parts[8] = length + 5
  return parts[1] and parts
end

-- Remove the final fields from the history of an event that continues: a replay, or a call that ended it and failed.
local function remove_final_fields(id)
  local history, as = prefix .. 'history:' .. id, final_fields(id)
  if as then
    redis.call('SET', history, string.sub(text(history), 1, -as[8] - 1))
  end
end

-- Return whether the keys of an event show that it has not ended.
local function is_pending(id)
  local event = prefix .. 'event:' .. id
  if redis.call('EXISTS', event) == 1 then
    local state = field(event, 'state')
    return state ~= 'dead' and state ~= 'ended'
  end
  return redis.call('EXISTS', prefix .. 'delivery:' .. id) == 1 and not final_fields(id)
end

-- Return when a pending event was received, as a score; nil if the event is not pending. While the indexes are rebuilt, a
-- pending event may be missing in `open`: it is added. The id of a received event starts with its time.
local function received_at(id)
  local at = redis.call('ZSCORE', open, id)
  if at or redis.call('EXISTS', rebuild) == 0 or not is_pending(id) then
    return at
  end
  at = string.match(id, '^%x+$') and string.sub(id, 13, 13) == '7' and tonumber(string.sub(id, 1, 12), 16) or now
  redis.call('ZADD', open, string.format('%.0f', at), id)
  return string.format('%.0f', at)
end

-- Order of effects. A list per record, rule and action holds the events whose effect is unfinished, in event order. Only
-- the first of them may start it. The field `order` of an event has the lane, a line feed, and per effect its rule, a
-- slash, and its action ('' if its order is free), separated by commas. The field `queued` is set once the event is in
-- its lists: when its effects leave the lane.
local EFFECTS_PAYLOAD = '\133\161t\192\161f\174finish_effects\161a\144\161k\128\162et\0'

-- Return per effect its list ('' if its order is free), and whether it is unfinished: 'first' of its rule, 'later', or ''.
-- A failed effect stops the later ones of its rule.
local function effects_of(order, ledger)
  local lane, names = string.match(order or '', '^([^\n]*)\n(.*)$')
  local lists, unfinished, rules = {}, {}, {}
  for name in string.gmatch((names or '') .. ',', '([^,]*),') do
    local i, rule = #lists + 1, string.match(name, '^[^/]*')
    local letter = string.sub(ledger, i, i)
    lists[i] = string.find(name, '/.') and prefix .. 'order:' .. lane .. ':' .. name or ''
    unfinished[i] = ''
    if letter == 'f' or letter == 'u' then
      rules[rule] = 'failed'
    elseif string.find(letter, '[psw]') and rules[rule] ~= 'failed' then
      unfinished[i], rules[rule] = rules[rule] or 'first', 'later'
    end
  end
  return lists, unfinished
end

-- Return the same, and remove keys of another type: their events are added again.
local function usable_effects_of(order, ledger)
  local lists, unfinished = effects_of(order, ledger)
  for _, list in ipairs(lists) do
    if list ~= '' and not has_type(list, 'list') then
      redis.call('DEL', list)
    end
  end
  return lists, unfinished
end

-- Return the first event of a list. Events that are not pending are removed.
local function first_of(list)
  while true do
    local id = redis.call('LINDEX', list, 0)
    if not id or received_at(id) then
      return id
    end
    redis.call('LPOP', list)
  end
end

-- Return one letter per effect: b behind an earlier event, n before a newer one, - otherwise.
local function places_of(id, order, ledger)
  local lists = usable_effects_of(order, ledger)
  for i, list in ipairs(lists) do
    local head = list ~= '' and first_of(list)
    lists[i] = head and (head ~= id and 'b' or redis.call('LLEN', list) > 1 and 'n') or '-'
  end
  return table.concat(lists)
end

-- Make the effects of an event due now, unless an attempt runs them.
local function wake_effects(id)
  local job = effects_prefix .. id
  if redis.call('EXISTS', lease_key(job)) == 0 and not field(prefix .. 'event:' .. id, 'running') then
    redis.call('ZADD', queue, 'LT', now, job)
    redis.call('SET', 'arq:job:' .. job, EFFECTS_PAYLOAD)
    wake_one()
  end
end

-- Remove an event from a list. A new head is due now; the same head keeps the time of its retry.
local function leave_list(list, id)
  local before = redis.call('LINDEX', list, 0)
  redis.call('LREM', list, 1, id)
  local head = first_of(list)
  if head and head ~= before then
    wake_effects(head)
  end
end

-- Add an event to the lists of its unfinished effects, and remove it from the others. After a late result, an unknown
-- effect and the later ones of its rule can be unfinished again: the event is then added as the last one.
-- Returns whether it has to wait: the first unfinished effect of every rule is behind an earlier event.
local function queue_effects(id, event, order, ledger)
  local lists, unfinished = usable_effects_of(order, ledger)
  local is_queued, behind, free = redis.call('HEXISTS', event, 'queued') == 1, 0, 0
  for i, list in ipairs(lists) do
    if list ~= '' and unfinished[i] == '' and is_queued then
      leave_list(list, id)
    elseif list ~= '' and unfinished[i] ~= '' and not (is_queued and redis.call('LPOS', list, id)) then
      redis.call('RPUSH', list, id)
    end
    if unfinished[i] == 'first' then
      local head = list ~= '' and first_of(list)
      if head and head ~= id then
        behind = behind + 1
      else
        free = free + 1
      end
    end
  end
  redis.call('HSET', event, 'order', order, 'queued', 1)
  return behind > 0 and free == 0
end

local function leave_order(id)
  local held = fields_of(prefix .. 'event:' .. id, 'order', 'ledger', 'queued')
  if held and held[1] and held[3] then
    for _, list in ipairs((usable_effects_of(held[1], held[2] or ''))) do
      if list ~= '' then
        leave_list(list, id)
      end
    end
    redis.call('HDEL', prefix .. 'event:' .. id, 'order', 'queued')
  end
end

-- Return the fields that an attempt needs, and the key and problem of fields that cannot be read. The problem is stored
-- in the field `damaged`, because the repaired fields no longer show it.
local function fields_of_attempt(event)
  local held = fields_of(
    event, 'running', 'attempts', 'worker_crashes', 'state', 'ledger', 'generation', 'damaged', 'asked', 'order',
    'stale_version'
  )
  if not held then
    return {}, event .. ' is not a hash'
  end
  for i, name in pairs({[2] = 'attempts', [3] = 'worker_crashes', [6] = 'generation'}) do
    if not count_of(held[i]) then
      held[i], held[7] = false, held[7] or event .. ' has a damaged field ' .. name
    end
  end
  return held, held[7] or ''
end

-- Start an attempt and return the event's state. `running` is the token of the attempt that runs the event. A different
-- token there means that the worker of that attempt crashed. A repeated call finds its own token and counts once.
local suspect_crashes = math.huge -- events with at least so many worker crashes are not started; callers lower it
local function start_attempt(id, token)
  local event = prefix .. 'event:' .. id
  local held, damaged = fields_of_attempt(event)
  local attempts, crashes = count_of(held[2]), count_of(held[3])
  if held[1] ~= token then
    attempts = attempts + 1
    if held[1] then
      crashes = crashes + 1
    end
    if crashes >= suspect_crashes then
      return 'suspect'
    end
    if damaged ~= '' then
      if not has_type(event, 'hash') then
        redis.call('DEL', event)
      end
      redis.call('HSET', event, 'damaged', damaged, 'generation', count_of(held[6]))
    end
    redis.call('HSET', event, 'running', token, 'attempts', attempts, 'worker_crashes', crashes)
  end
  local history = ''
  if held[4] then
    remove_final_fields(id)
    history = text(prefix .. 'history:' .. id)
  end
  local received = received_at(id)
  local delivery = prefix .. 'delivery:' .. id
  local body = text(delivery)
  if not body and damaged == '' and redis.call('EXISTS', delivery) == 1 then
    damaged = delivery .. ' is empty or not a string'
  end
  local generation = count_of(held[6])
  return {
    id, received, body or false, attempts, crashes, held[4] or '', held[5] or '', history or '', generation, damaged,
    held[8] or '', held[9] and places_of(id, held[9], held[5] or '') or '', held[10] or ''
  }
end

local function head_of(lane, token)
  if not has_type(lane, 'list') then
    redis.call('DEL', lane) -- the sweep puts its events on a new lane
  end
  while true do
    local id = redis.call('LINDEX', lane, 0)
    if not id then
      return false
    end
    if received_at(id) and not string.find(id, '[^%w:_.-]') then
      local head = start_attempt(id, token)
      if head ~= 'suspect' then
        head[#head + 1] = redis.call('LLEN', lane)
      end
      return head
    end
    redis.call('LPOP', lane)
  end
end

-- Return the last state of a lane's record; the name of its type if it is not a string.
local function record_of(lane)
  local key = prefix .. 'record:' .. string.sub(lane, #lane_prefix + 1)
  local state = read('GET', key)
  return state == nil and {redis.call('TYPE', key).ok} or state
end

-- Continue a job after its event left it: with the lane's next event, by requeuing it, or by deleting it.
local function proceed(job, token, more)
  if starts_with(job, effects_prefix) and received_at(string.sub(job, #effects_prefix + 1)) then
    requeue(job, now) -- a repeated call: the first one failed before the event had its place to wait
    return {'requeued'}
  end
  if not starts_with(job, lane_prefix) or not has_type(job, 'list') or redis.call('LLEN', job) == 0 then
    drop_job(job)
    return {'done'}
  end
  if more == '1' then
    suspect_crashes = 1 -- only a claim knows whether the worker runs other jobs
    local head = head_of(job, token)
    if not head then
      drop_job(job)
      return {'done'}
    elseif head ~= 'suspect' then
      return {'next', now, head, record_of(job)}
    end
  end
  -- If the reply with the next event was lost, its attempt is counted but has not begun: give the attempt back.
  local event = prefix .. 'event:' .. redis.call('LINDEX', job, 0)
  if field(event, 'running') == token then
    redis.call('HDEL', event, 'running')
    redis.call('HINCRBY', event, 'attempts', -1)
  end
  requeue(job, now)
  return {'requeued'}
end

-- Write the last line together with all earlier ones: a string that grows by APPEND keeps spare memory. A repeated call
-- finds its line at the end.
local function append_history(id, line, is_last)
  local history = prefix .. 'history:' .. id
  remove_final_fields(id)
  if line == '' or text(history, -#line, -1) == line then
    return
  elseif is_last or not has_type(history, 'string') then
    redis.call('SET', history, (text(history) or '') .. line)
  else
    redis.call('APPEND', history, line)
  end
end

local function leave_lane(job, id)
  if starts_with(job, lane_prefix) and has_type(job, 'list') then
    redis.call('LREM', job, 1, id)
  end
end

local function leave(job, id)
  redis.call('ZREM', open, id)
  leave_lane(job, id)
  leave_order(id)
end

-- Return the end of a token: the random part of the worker's name, and the number of the call. Every ended event has it.
local function short_token(token)
  return string.match(token, '[^-]*$')
end

-- End an event. Its final fields are stored after its history instead of in a hash: strings separated by \31, their
-- length in four digits, and \2. The event leaves `open` only after it is in `ended`, so that a failed command loses no
-- event.
local function end_event(job, token, id, outcome, retention_ms, body_ms, reason)
  local event, history = prefix .. 'event:' .. id, prefix .. 'history:' .. id
  remove_final_fields(id)
  local held = fields_of(event, 'attempts', 'ledger', 'generation', 'asked') or {}
  local fields = table.concat(
    {outcome, held[1] or '0', held[2] or '', held[3] or '', short_token(token), held[4] or '', reason or ''}, '\31'
  )
  local whole = (text(history) or '') .. fields .. string.format('%04d', #fields) .. '\2'
  redis.call('ZADD', ended, now, id)
  redis.call('SET', history, whole, 'PX', retention_ms)
  leave(job, id)
  redis.call('DEL', event)
  redis.call('PEXPIRE', prefix .. 'delivery:' .. id, body_ms)
end

-- Return the final fields of an ended event; nil if the event has not ended.
local function end_of(id)
  if redis.call('EXISTS', prefix .. 'event:' .. id) == 1 then
    return nil
  end
  return final_fields(id)
end

-- Check whether an attempt may write for a job. Returns 'yes', 'no', or 'over' if the same attempt already ended the
-- event and only the reply was lost.
local function check_lease(job, token, id)
  if text(lease_key(job)) == token then
    return 'yes'
  end
  local as = end_of(id)
  if as and as[5] == short_token(token) or not as and field(prefix .. 'event:' .. id, 'by') == token then
    return 'over'
  end
  return 'no'
end
