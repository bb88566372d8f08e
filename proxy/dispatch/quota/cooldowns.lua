-- Deployments that are left alone for a while. Times are microseconds of Redis's own clock.
-- KEYS: cooling, ZSET of their ids by the end of it; probe, the replica that tries the one in question.
-- ARGV: operation, replica, id, microseconds.

local cooling, probe = KEYS[1], KEYS[2]
local operation, replica, id, length = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

redis.call('ZREMRANGEBYSCORE', cooling, '-inf', now)

if operation == 'cool' then
  redis.call('DEL', probe)
  redis.call('ZADD', cooling, now + length, id)
  redis.call('PEXPIRE', cooling, math.max(redis.call('PTTL', cooling), math.ceil(length / 1000)))
elseif operation == 'clear' then
  redis.call('DEL', probe)
  redis.call('ZREM', cooling, id)
elseif operation == 'forget' then
  redis.call('DEL', cooling)
elseif operation == 'claim' then
  local claimed = redis.call('SET', probe, replica, 'NX', 'PX', math.max(1, math.ceil(length / 1000)))
  return { claimed and 1 or 0 }
elseif operation == 'look' then
  local found = redis.call('ZRANGE', cooling, 0, -1, 'WITHSCORES')
  for place = 2, #found, 2 do
    found[place] = found[place] - now
  end
  return found
end
return {}
