-- The book of one account, kept by all replicas; memory.py does the same for one process, ledger.py says what the
-- operations mean. Times are microseconds of Redis's own clock.
--
-- KEYS  sent     ZSET  ticket by the time it was sent, for one window
--       waiting  ZSET  ticket by its place in line, which is the time it came
--       running  ZSET  ticket by the time it took its slot
--       leases   ZSET  waiting or running ticket by the time at which it is taken for lost unless renewed
--       pace     HASH  resumes, pause, share (see pace.py); hold: how long a request lasts
-- ARGV  operation, rules (JSON: the same with every call), request (JSON: its operands, and the tickets that were
--       finished, cancelled or sent later than they were started since the call before)

local sent, waiting, running, leases, pace = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local operation, rules, request = ARGV[1], cjson.decode(ARGV[2]), cjson.decode(ARGV[3])

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local STARTED, WAITING, REFUSED = 0, 1, 2

-- The pace ---------------------------------------------------------------------------------------------------------

local known = redis.call('HMGET', pace, 'resumes', 'pause', 'share', 'hold')
local resumes = tonumber(known[1] or 0)
local pause = tonumber(known[2] or 0)
local share = tonumber(known[3] or 1)
local hold = tonumber(known[4] or rules.hold)

local function share_now()
  if share >= 1 or now < resumes then
    return share
  end
  local steps = math.floor((now - resumes) / (rules.window * rules.step) + rules.rounding)
  return math.min(1, share + rules.step * steps)
end

local function limited()
  if now < resumes then
    return
  end
  local current = share_now()
  pause = current >= 1 and rules.first_pause or math.min(rules.longest_pause, pause * 2)
  share = current / 2
  resumes = now + pause
  redis.call('HSET', pace, 'resumes', resumes, 'pause', pause, 'share', share)
end

-- What was done since the call before -------------------------------------------------------------------------------------------

local function forget(ticket)
  redis.call('ZREM', waiting, ticket)
  redis.call('ZREM', running, ticket)
  redis.call('ZREM', leases, ticket)
end

for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now)) do
  forget(ticket)
end
for _, ticket in ipairs(request.late) do
  if redis.call('ZSCORE', running, ticket) then
    redis.call('ZADD', sent, now, ticket)
  end
end
for _, ticket in ipairs(request.finished) do
  local since = redis.call('ZSCORE', running, ticket)
  if since then
    hold = hold + (now - since - hold) * rules.hold_weight
    redis.call('HSET', pace, 'hold', hold)
  end
  forget(ticket)
end
for _, ticket in ipairs(request.cancelled) do
  forget(ticket)
  redis.call('ZREM', sent, ticket)
end
redis.call('ZREMRANGEBYSCORE', sent, '-inf', now - rules.spacing)

-- The line ---------------------------------------------------------------------------------------------------------

-- When window and pace allow the one at this place, counted from 0, to be sent.
local function due(place)
  local begin = math.max(now, resumes)
  if not rules.requests then
    return begin
  end
  local rate = rules.requests
  local current = share_now()
  if current < 1 then
    rate = math.max(1, math.floor(rate * current + rules.rounding))
  end
  local laps = math.floor(place / rate)
  local ahead = redis.call('ZCARD', sent) + place - (laps + 1) * rate
  if ahead >= 0 then
    local before = redis.call('ZRANGE', sent, ahead, ahead, 'WITHSCORES')
    begin = math.max(begin, before[2] + rules.spacing)
  end
  return begin + laps * rules.spacing
end

-- How many slots must be given back until it is the turn of this place, counted from 0.
local function missing_slots(place)
  if not rules.concurrent then
    return 0
  end
  return place + 1 + redis.call('ZCARD', running) - rules.concurrent
end

-- The clock may have been set back since the last one joined: nobody joins ahead of others for that.
local function join(ticket)
  local last = redis.call('ZRANGE', waiting, -1, -1, 'WITHSCORES')
  redis.call('ZADD', waiting, math.max(now, (last[2] or 0) + 1), ticket)
  redis.call('ZADD', leases, now + rules.lease, ticket)
end

local function launch(ticket)
  redis.call('ZREM', waiting, ticket)
  redis.call('ZADD', running, now, ticket)
  redis.call('ZADD', leases, now + rules.lease, ticket)
  if rules.requests then
    redis.call('ZADD', sent, now, ticket)
  end
end

local function reserve(ticket, patience)
  local place = redis.call('ZCARD', waiting)
  local wait = due(place) - now
  if wait <= 0 and missing_slots(place) <= 0 then
    launch(ticket)
    return { STARTED, 0 }
  end
  if wait > patience then
    return { REFUSED, wait }
  end
  join(ticket)
  return { WAITING, wait }
end

local function start(ticket)
  if not redis.call('ZSCORE', waiting, ticket) then
    join(ticket)
  end
  local place = redis.call('ZRANK', waiting, ticket)
  local wait = due(place) - now
  if wait > 0 then
    return { WAITING, math.min(wait, rules.look_again) }
  end
  if missing_slots(place) > 0 then
    return { WAITING, rules.slot_poll }
  end
  launch(ticket)
  return { STARTED, 0 }
end

local function wait()
  local place = redis.call('ZCARD', waiting)
  local seconds = due(place) - now
  local missing = missing_slots(place)
  if missing > 0 then
    seconds = math.max(seconds, missing * hold / rules.concurrent)
  end
  return { WAITING, seconds }
end

-- What a replica has --------------------------------------------------------------------------------------------------

local function renew(tickets)
  for _, ticket in ipairs(tickets) do
    redis.call('ZADD', leases, 'XX', now + rules.lease, ticket)
  end
end

-- A replica that was cut off says what it has: ages by ticket. What it was thought to have beside that is gone.
local function restore(replica, books)
  for _, ticket in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
    if string.sub(ticket, 1, #replica) == replica and not books.waiting[ticket] and not books.running[ticket] then
      forget(ticket)
    end
  end
  for name, book in pairs({ sent = sent, waiting = waiting, running = running }) do
    for ticket, age in pairs(books[name]) do
      redis.call('ZADD', book, now - age, ticket)
      if name ~= 'sent' then
        redis.call('ZADD', leases, now + rules.lease, ticket)
      end
    end
  end
  for ticket in pairs(books.running) do
    redis.call('ZREM', waiting, ticket)
  end
end

local answer = { STARTED, 0 }
if operation == 'reserve' then
  answer = reserve(request.ticket, request.patience)
elseif operation == 'start' then
  answer = start(request.ticket)
elseif operation == 'wait' then
  answer = wait()
elseif operation == 'limited' then
  limited()
elseif operation == 'renew' then
  renew(request.tickets)
elseif operation == 'restore' then
  restore(request.replica, request.books)
end -- 'settle' is done by now

for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, rules.keep_ms)
end
return { answer[1], math.ceil(answer[2]), math.max(0, math.ceil(resumes - now)) }
