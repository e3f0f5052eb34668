-- The one script that writes a journal: it appends, folds, bounds, expires and publishes in one step.
--
-- KEYS  state (hash: bookkeeping begins with "_", every other field is a field of the folded state, as JSON)
--       log (stream, one entry per event)
-- ARGV  operation, channel, seconds to keep the state, seconds to keep the log, most entries, most bytes, then
--       what the operation takes
--
-- It never decodes or encodes JSON (cjson loses digits and turns [] into {}) and writes numbers by %d and %.0f.
-- A script is not rolled back, so whatever Redis may refuse (out of memory, wrong type) is its first write.

local S, L = KEYS[1], KEYS[2]
local op, channel, keep_state, keep_log = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local most_entries, most_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local A = {unpack(ARGV, 7, math.min(#ARGV, 20))} -- the operation's own arguments; its fields may be many more

local NAMES = {'seq', 'last', 'nonce', 'retries', 'began', 'boot', 'pid', 'pseq', 'term', 'bytes', 'told'}
local held = {}
for i, value in ipairs(redis.call('HMGET', S, '_seq', '_last', '_nonce', '_retries', '_began', '_boot', '_pid',
  '_pseq', '_term', '_bytes', '_told')) do
  held[NAMES[i]] = value or nil
end
local attempt = tonumber(redis.call('HGET', S, 'attempt') or '0')
local seq, pseq = tonumber(held.seq or '0'), tonumber(held.pseq or '0')
local retries = tonumber(held.retries or '-1')
local ended = held.term and held.term ~= 'lost' -- `lost` alone may be withdrawn
if not held.seq then
  redis.call('DEL', L) -- state and log are one thing: a log without its state proves nothing
end

local function int(number) return string.format('%d', number) end

local news -- what is published, when all is written: it may be refused (ACL), and the event must be whole then

-- Drop the oldest entries until the log is within its bounds (the newest always stays); returns the bytes left.
local function trim(bytes, newest)
  local length = redis.call('XLEN', L)
  if length == 1 then return newest end -- the log before may have been evicted or have expired
  while length > 1 and (length > most_entries or bytes > most_bytes) do
    local oldest = redis.call('XRANGE', L, '-', '+', 'COUNT', 2)
    redis.call('XTRIM', L, 'MINID', oldest[2][1])
    bytes, length = bytes - #oldest[1][2][2], length - 1
  end
  return bytes
end

-- Append an event. Its id commits to all that came before it, and to who says it.
local function append(who, number, payload)
  local previous = held.last or '0'
  local digest = redis.sha1hex(previous .. '|' .. who .. '|' .. number .. '|' .. payload)
  local id = string.format('%d-%.0f', seq + 1, tonumber(string.sub(digest, 1, 13), 16))
  redis.call('XADD', L, id, 'p', payload)
  local bytes = trim(tonumber(held.bytes or '0') + #payload, #payload)
  redis.call('HSET', S, '_seq', int(seq + 1), '_last', id, '_bytes', int(bytes))
  redis.call('EXPIRE', S, keep_state)
  redis.call('EXPIRE', L, keep_log)
  news = previous .. ' ' .. id .. ' ' .. payload
  return id
end

-- Set the state's fields, given as field, value, ... from the operation's argument `first` on.
local function set_fields(first)
  for i = first + 6, #ARGV, 200 do -- more arguments at once overflow Lua's stack
    redis.call('HSET', S, unpack(ARGV, i, math.min(i + 199, #ARGV)))
  end
end

local function set_term(term)
  if held.term then -- lost, and here is a sign of life
    redis.call('HDEL', S, '_term', '_told', 'finished_at', 'error')
    redis.call('HSET', S, 'status', '"running"')
  end
  if term ~= '' then redis.call('HSET', S, '_term', term) end
end

local FACTS = {name = true, title = true, workflow = true, queued_at = true, due_at = true}

local function clear_attempt()
  for _, field in ipairs(redis.call('HKEYS', S)) do
    if string.sub(field, 1, 1) ~= '_' and not FACTS[field] then redis.call('HDEL', S, field) end
  end
end

local operations = {}

-- owner, when it was sent as JSON, queue, payload, field, value, ...   Only an empty journal takes it; an id sent again
-- after its end is answered with that end, and what has only come late is not.
function operations.queue()
  if held.seq then
    local late = redis.call('HGET', S, 'queued_at') == A[2]
    return {'KNOWN', not late and held.term or ''}
  end
  local id = append('sender', '0', A[4])
  if A[1] ~= '' then redis.call('HSET', S, '_owner', A[1]) end
  if A[3] ~= '' then redis.call('HSET', S, '_queue', A[3]) end
  set_fields(5)
  return {'OK', id}
end

-- nonce, Celery's retries, age in seconds, boot of the worker, attempt held before (0: none), producer sequence,
-- owner, the payload before and after the attempt's number, '1' if it is acknowledged late, process id, field,
-- value, ...
--
-- Of two executions the one with more retries is the newer, then the one that started later by Redis's clock:
-- the order of arrival decides nothing.
function operations.begin()
  local nonce, number = A[1], tonumber(A[6])
  local clock = redis.call('TIME')
  local began = tonumber(clock[1]) + tonumber(clock[2]) / 1e6 - tonumber(A[3])
  if held.nonce == nonce then
    if number <= pseq then return {'DUP', int(attempt)} end
    began = tonumber(held.began)
  elseif not ended then
    local older = tonumber(A[2]) < retries or (tonumber(A[2]) == retries and began < tonumber(held.began))
    if older then return {'FENCED'} end
    attempt = math.max(attempt + 1, tonumber(A[5]))
  end
  if ended then return {'TERMINAL', held.last} end
  append(nonce, A[6], A[8] .. int(attempt) .. A[9])
  clear_attempt()
  redis.call('HDEL', S, '_term', '_told')
  redis.call('HSET', S, 'attempt', int(attempt), '_nonce', nonce, '_retries', A[2], '_boot', A[4], '_pseq', A[6],
    '_late', A[10], '_pid', A[11], '_began', string.format('%.6f', began))
  if A[7] ~= '' then redis.call('HSET', S, '_owner', A[7]) end
  set_fields(12)
  return {'OK', int(attempt)}
end

-- nonce, producer sequence, the status that ends the task or '', payload, field, value, ...
function operations.append()
  local number = tonumber(A[2])
  if held.nonce ~= A[1] then return {'BEGIN'} end
  if number <= pseq then return {'DUP', held.last} end
  if ended then return {'TERMINAL', held.last} end
  if number > pseq + 1 then return {'RESEND', int(pseq + 1)} end
  local id = append(A[1], A[2], A[4])
  redis.call('HSET', S, '_pseq', A[2])
  set_term(A[3])
  set_fields(5)
  return {'OK', id}
end

-- payload, field, value, ...   Somebody asks for the end of whatever runs, which is nobody's verdict: once is enough.
function operations.cancelling()
  if not held.seq then return {'UNKNOWN'} end
  if held.term then return {'TERMINAL', held.last} end
  if redis.call('HGET', S, 'cancelling') == 'true' then return {'DUP', held.last} end
  local id = append('canceller', '', A[1])
  set_fields(2)
  return {'OK', id}
end

-- retries, boot, process id or '0', a key for this verdict, '1' to create the journal, the status that ends the task or '', payload,
-- field, value, ...   It is about one execution, and FENCED when another one is current.
function operations.supervise()
  local about, boot, pid, key = tonumber(A[1]), A[2], A[3], A[4]
  if not held.seq and A[5] ~= '1' then return {'UNKNOWN'} end
  if held.told == key then return {'DUP', held.last} end
  if ended then return {'TERMINAL', held.last} end
  if retries > about or (retries == about and (held.boot or '') ~= boot) then return {'FENCED'} end
  if pid ~= '0' and held.pid and held.pid ~= '0' and held.pid ~= pid then return {'FENCED'} end
  local id = append('supervisor', key, A[7])
  set_term(A[6])
  redis.call('HSET', S, '_told', key)
  set_fields(8)
  return {'OK', id}
end

local reply = operations[op]()
if news then redis.call('PUBLISH', channel, news) end
return reply
