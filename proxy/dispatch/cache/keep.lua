-- Keeps an answer, at the cost of the oldest ones.
-- KEYS: the order (keys by when they end), their sizes, the total of these; the key
-- ARGV: the answer, how long it is good for in ms, what an entry takes beside it, the bounds: bytes, entries
local order, sizes, total, key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local value, ttl, overhead = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local max_size, max_entries = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function forget(name)
  local size = redis.call('HGET', sizes, name)
  if size then
    redis.call('DECRBY', total, size)
    redis.call('HDEL', sizes, name)
  end
  redis.call('ZREM', order, name)
end

local size = #value + overhead
forget(key)
redis.call('SET', key, value, 'PX', ttl)
redis.call('ZADD', order, now + ttl, key)
redis.call('HSET', sizes, key, size)
redis.call('INCRBY', total, size)

for _, name in ipairs(redis.call('ZRANGEBYSCORE', order, '-inf', now, 'LIMIT', 0, 100)) do
  forget(name) -- Redis itself has let go of it
end
while tonumber(redis.call('GET', total)) > max_size or redis.call('ZCARD', order) > max_entries do
  local oldest = redis.call('ZRANGE', order, 0, 0)[1]
  if not oldest then -- the books do not agree: one of them was evicted
    redis.call('SET', total, 0)
    break
  end
  redis.call('DEL', oldest)
  forget(oldest)
end
for _, book in ipairs({order, sizes, total}) do
  if redis.call('PTTL', book) < ttl then
    redis.call('PEXPIRE', book, 2 * ttl)
  end
end
