-- A long list of texts in order, in pieces: one large sorted set costs Redis some 140 bytes a text besides the text, a
-- small one 4.
--
-- Under the list's key is a sorted set of where its pieces begin, under `<key>:<beginning>` the piece, a sorted set, too;
-- all scores are 0. The first piece begins at ''. The keys of the pieces are in the list's slot.

-- One less than Redis keeps together by default (zset-max-listpack-entries): a piece is cut when it has one more.
local PIECE = 127

-- A list or a piece of another type is left as it is and noted (`foreign.lua`).

-- Where the piece begins that this text is in, or would be; nil when there is none yet. The second answer says whether the
-- list is readable.
local function piece_of(list, text)
  local found = attempt('ZRANGE', list, '[' .. text, '-', 'BYLEX', 'REV', 'LIMIT', 0, 1)
  if not found then
    return nil, false
  end
  return found[1], true
end

local function rope_add(list, text)
  local start, is_readable = piece_of(list, text)
  if not is_readable then
    return
  end
  if not start then
    start = ''
    redis.call('ZADD', list, 0, start)
  end
  local piece = list .. ':' .. start
  if not attempt('ZADD', piece, 0, text) then
    return
  end
  local length = redis.call('ZCARD', piece)
  if length <= PIECE then
    return
  end
  local from = math.floor(length / 2)
  -- What is made is mostly the latest: then the full piece stays full. Lua itself would compare by the server's locale.
  if redis.call('ZRANGE', piece, -1, -1)[1] == text then
    from = length - 1
  end
  local moved = redis.call('ZRANGE', piece, from, -1)
  local scored = {}
  for _, other in ipairs(moved) do
    scored[#scored + 1] = 0
    scored[#scored + 1] = other
  end
  redis.call('ZREMRANGEBYRANK', piece, from, -1)
  redis.call('ZADD', list .. ':' .. moved[1], unpack(scored))
  redis.call('ZADD', list, 0, moved[1])
end

-- Says whether the list is empty by that.
local function rope_remove(list, text)
  local start = piece_of(list, text)
  if not start then
    return false
  end
  local piece = list .. ':' .. start
  local length, pieces = attempt('ZCARD', piece), redis.call('ZCARD', list)
  if not length then
    return false
  end
  if redis.call('ZREM', piece, text) < length then
    return false
  end
  redis.call('ZREM', list, start)
  return pieces == 1
end

-- At most so many, from where on as BYLEX takes it.
local function rope_range(list, from, count)
  local found = {}
  local start = from ~= '-' and piece_of(list, string.sub(from, 2))
  local at = start and '[' .. start or '-'
  while #found < count do
    local pieces = attempt('ZRANGE', list, at, '+', 'BYLEX', 'LIMIT', 0, 1)
    start = pieces and pieces[1]
    if not start then
      break
    end
    local piece = list .. ':' .. start
    for _, text in ipairs(attempt('ZRANGE', piece, from, '+', 'BYLEX', 'LIMIT', 0, count - #found) or {}) do
      found[#found + 1] = text
    end
    at = '(' .. start
  end
  return found
end

