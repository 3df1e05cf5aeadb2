#!lua
-- Check that the store accepts writes, and that its user may run the commands of ingest (ARGV[3] is 0) or of a worker
-- too (1). ARGV: prefix, queue, 0 or 1. Returns 1, or an error that names the first denied command.
-- The commands run on a string: a permitted command on another type fails by the type and writes nothing.
-- Damage of the keys that every delivery needs is found here, without a delivery.
redis.call('ZCARD', queue)
redis.call('ZCARD', open)
redis.call('LLEN', wake)
local key = prefix .. 'tick'
local commands = {
  {'SET', key, now}, {'DEL', key .. ':none'}, {'GET', key}, {'HGET', key, ''}, {'HSET', key, '', ''},
  {'LLEN', key}, {'LPUSH', key, ''}, {'MGET', key}, {'PEXPIRE', key .. ':none', 1}, {'RPUSH', key, ''}, {'TYPE', key},
  {'ZADD', key, 0, ''}, {'ZCARD', key},
}
local commands_of_workers = {
  {'APPEND', key, ''}, {'EXISTS', key}, {'GETRANGE', key, 0, 0}, {'HDEL', key, ''}, {'HEXISTS', key, ''},
  {'HINCRBY', key, '', 1}, {'HMGET', key, ''}, {'INCR', key}, {'LINDEX', key, 0}, {'LPOP', key}, {'LREM', key, 1, ''},
  {'PERSIST', key}, {'PTTL', key}, {'XADD', key, '*', '', ''}, {'ZRANGE', key, 0, 0}, {'ZRANGEBYSCORE', key, 0, 0},
  {'ZREM', key, ''}, {'ZSCORE', key, ''},
}

local function check(command)
  local reply = redis.pcall(unpack(command))
  local problem = type(reply) == 'table' and reply.err
  return problem and not string.find(problem, '^WRONGTYPE') and command[1] .. ': ' .. problem
end

for _, list in ipairs({commands, ARGV[3] == '1' and commands_of_workers or {}}) do
  for _, command in ipairs(list) do
    local problem = check(command)
    if problem then
      return redis.error_reply('NOPERM ' .. problem)
    end
  end
end
return 1
