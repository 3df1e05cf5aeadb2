#!lua flags=allow-oom
-- Run one command. ARGV: prefix, queue, command. Only its repairing form is used.
return redis.call(unpack(ARGV, 3))
