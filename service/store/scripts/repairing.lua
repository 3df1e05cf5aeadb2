-- Inserted before `shared.lua` in the repairing form of a script, which runs after a command found a key of another
-- type. Each such key is set aside under another name, nothing of it is deleted, and the command is repeated.
-- Only keys with Waybill's prefix are set aside: a queue of another name may belong to another application.
local server, damaged = redis, ARGV[1] .. 'damaged'
local COPIES_MAX = 100 -- of all keys; later copies of a key replace each other
local SETS = {SADD = true, SMEMBERS = true, SREM = true}
local TYPES = {Z = 'zset', H = 'hash', L = 'list', R = 'list', X = 'stream'}
-- Keys that the sweep rebuilds from the keys of the events and of the accounts.
local REBUILT = {open = true, dead = true, ended = true, parked = true, quarantines = true}

local function set_aside(key, expected)
  local found = server.call('TYPE', key).ok
  if found == 'none' then
    return -- an earlier command of this call set it aside
  end
  if string.sub(key, 1, #ARGV[1]) ~= ARGV[1] then
    error({err = 'FOREIGN ' .. key .. ' ' .. found .. ' ' .. expected})
  end
  local clock = server.call('TIME')
  local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
  local copy = key .. ':damaged:' .. now
  local name = string.sub(key, #ARGV[1] + 1)
  if REBUILT[name] or string.find(name, '^quarantine:[^:]+$') or key == ARGV[2] then
    server.call('SET', ARGV[1] .. 'rebuild', '0')
  end
  if server.call('TYPE', damaged).ok ~= 'hash' then
    server.call('DEL', damaged)
  end
  if server.call('HLEN', damaged) >= COPIES_MAX then
    copy = key .. ':damaged'
  end
  server.call('HSET', damaged, copy, table.concat({key, found, expected, now}, '\n'))
  server.call('RENAME', key, copy)
  server.call('PERSIST', copy)
end

-- The active rulebook is the newest publication.
local function restore(key)
  if key == ARGV[1] .. 'rulebook' then
    local entry = server.pcall('LINDEX', key .. ':history', 0)
    local is_read, newest = pcall(cjson.decode, type(entry) == 'string' and entry or '')
    if is_read and type(newest) == 'table' and type(newest.version) == 'string' then
      server.call('HSET', key, 'version', newest.version, 'author', tostring(newest.author or ''),
        'note', tostring(newest.note or ''), 'at', tostring(newest.at or ''))
    end
  end
end

local function call(...)
  local command, key = ...
  local reply = server.pcall(...)
  local problem = type(reply) == 'table' and reply.err
  if not problem then
    return reply
  end
  local expected = SETS[command] and 'set' or TYPES[string.sub(command, 1, 1)] or 'string'
  if string.find(problem, 'WRONGTYPE', 1, true) then
    set_aside(key, expected)
  elseif string.find(problem, 'not an integer', 1, true) and not string.find(key, ARGV[1] .. 'event:', 1, true) then
    set_aside(key, expected .. ' of numbers')
  else
    return server.call(...)
  end
  restore(key)
  return server.call(...)
end

local redis = setmetatable({call = call}, {__index = server})
