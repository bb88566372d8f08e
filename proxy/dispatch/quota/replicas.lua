-- Counts the living replicas. KEYS: replicas, a ZSET of their ids by the time (us) they were last heard of.
-- ARGV: 'here' or 'gone', the id of the one that calls, the silence (us) after which one is taken for dead.

local replicas, operation, replica, silence = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

if operation == 'here' then
  redis.call('ZADD', replicas, now, replica)
else
  redis.call('ZREM', replicas, replica)
end
redis.call('ZREMRANGEBYSCORE', replicas, '-inf', now - silence)
redis.call('PEXPIRE', replicas, math.ceil(silence / 1000))
return redis.call('ZCARD', replicas)
