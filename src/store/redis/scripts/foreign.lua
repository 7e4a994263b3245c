-- Keys of another type than ours, which a person or another program has written. Redis answers every command for such a key
-- with WRONGTYPE, and a script that stops in the middle leaves its changes half written.
--
-- The hash `unreadable` of the key's slot names each such key. It expires ten minutes after the last entry.
local NOTED_MS = 600000
local MOST_NOTED = 1000

local function is_foreign(answer)
  return type(answer) == 'table' and answer.err ~= nil
    and (string.find(answer.err, 'WRONGTYPE', 1, true) or string.find(answer.err, 'not an integer', 1, true)) ~= nil
end

local function note_foreign(key, what)
  local noted = string.match(key, '^[^}]*}:') .. 'unreadable'
  local count = redis.pcall('HLEN', noted)
  if type(count) == 'number' and count < MOST_NOTED then
    redis.pcall('HSET', noted, key, what)
    redis.pcall('PEXPIRE', noted, NOTED_MS)
  end
end

-- Runs a command. If the key has another type, notes it and returns nil.
local function attempt(command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if is_foreign(answer) then
    note_foreign(key, 'the key holds another type than ' .. command .. ' takes')
    return nil
  end
  if type(answer) == 'table' and answer.err then
    error(answer)
  end
  return answer
end

local function move_aside(key, what)
  note_foreign(key, what .. '; the value is at ' .. key .. ':unreadable')
  redis.call('RENAME', key, key .. ':unreadable')
end

-- Runs a command on a key that the store can rebuild. First moves a value of another type aside: nothing is deleted. Then
-- `rebuild` fills the key.
local function rebuild_foreign(rebuild, command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if is_foreign(answer) then
    move_aside(key, 'the key held another type than ' .. command .. ' takes')
    rebuild()
    return redis.call(command, key, ...)
  end
  if type(answer) == 'table' and answer.err then
    error(answer)
  end
  return answer
end

-- Does the same for a key that restarts empty.
local function begin_empty() end

local function replace(command, key, ...)
  return rebuild_foreign(begin_empty, command, key, ...)
end

