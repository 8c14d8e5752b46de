-- Ghost text for Neovim without vim.lsp.inline_completion: ask, show, accept in whole or in parts.
local compat = require("warmline.compat")

local M = {}

local METHOD = "textDocument/inlineCompletion"
local INVOKED, AUTOMATIC = 1, 2
local space = vim.api.nvim_create_namespace("warmline")
vim.api.nvim_set_hl(0, "WarmlineGhost", { default = true, link = "Comment" })

local shown -- { buffer, row, column, items, index }: what is on the screen, 0-based, in bytes
local asked -- { client, id }: the request on its way

local seen -- the state that was asked for last because of a key
local noted -- the state that a request was made in last, for whatever reason

--- Asks whenever something is typed or the cursor moves in insert mode.
function M.follow(group)
  vim.api.nvim_create_autocmd({ "TextChangedI", "CursorMovedI" }, {
    group = group,
    callback = function()
      local now = M._now()
      -- one key is told as a change and as a move
      if vim.deep_equal(now, seen) then
        return
      end
      seen = now
      if not M._types_along() then
        M.dismiss()
      end
      M.request(AUTOMATIC)
    end,
  })
  vim.api.nvim_create_autocmd({ "InsertLeave", "BufLeave" }, {
    group = group,
    callback = function()
      M.dismiss()
      seen = nil
    end,
  })
end

--- Buffer, text and cursor, to be compared.
function M._now()
  local buffer = vim.api.nvim_get_current_buf()
  local tick = vim.api.nvim_buf_get_changedtick(buffer)
  return { buffer = buffer, tick = tick, place = vim.api.nvim_win_get_cursor(0) }
end

--- Remembers what is asked about, here or elsewhere: a better answer is for this.
function M.note()
  noted = M._now()
  return noted
end

--- Asks for completions; an older request is cancelled, a late answer is dropped.
function M.request(kind)
  if not vim.startswith(vim.fn.mode(), "i") then
    return
  end
  local client = require("warmline").client()
  if not client or not client.initialized then
    return
  end
  M._cancel()
  local now = M.note()
  local buffer, place = now.buffer, now.place
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = kind or INVOKED }
  local function take(problem, answer)
    asked = nil
    local is_current = vim.deep_equal(M._now(), now)
    if problem or not is_current or not vim.startswith(vim.fn.mode(), "i") then
      return
    end
    local items = answer and (answer.items or answer) or {}
    M.dismiss()
    if #items > 0 then
      shown = { buffer = buffer, row = place[1] - 1, column = place[2], items = items, index = 1 }
      M._draw()
    end
  end
  local _, id = compat.request(client, METHOD, params, take, buffer)
  asked = { client = client, id = id }
end

--- Asks once more where the server says that it knows better now, as if by a key: whoever waits for it has asked.
--- Where something was typed or the cursor is elsewhere it is of no use.
function M.request_again(told)
  local client, buffer = require("warmline").client(), vim.api.nvim_get_current_buf()
  if not client or told.uri ~= vim.uri_from_bufnr(buffer) then
    return
  end
  local here = vim.lsp.util.make_position_params(0, client.offset_encoding).position
  if vim.deep_equal(M._now(), noted) and vim.deep_equal(told.position, here) then
    M.request(INVOKED)
  end
end

--- Whether there is something to accept.
function M.is_shown()
  return shown ~= nil
end

--- The text on the screen, nil where there is none.
function M.text()
  return shown and M._insertion() or nil
end

function M.dismiss()
  M._cancel()
  if shown then
    vim.api.nvim_buf_clear_namespace(shown.buffer, space, 0, -1)
    shown = nil
  end
end

--- Shows the next of several completions; asks for more where there is but one.
function M.next()
  if shown and #shown.items > 1 then
    shown.index = shown.index % #shown.items + 1
    M._draw()
  else
    M.request(INVOKED)
  end
end

--- Inserts all of it, the next "word" or the next "line"; false where nothing is shown.
function M.accept(part)
  if not shown then
    return false
  end
  local was, text = shown, M._insertion()
  local piece = M.first(text, part)
  M.dismiss()
  M.break_undo()
  M.insert(was.buffer, was.row, was.column, piece)
  M.break_undo()
  if piece == text then
    M._tell_accepted(was.items[was.index])
  end
  return true
end

--- Ends the undo block, so that undo takes back what is accepted next and not what was typed before it.
function M.break_undo()
  -- setting the option, even to its own value, begins a new block, as <C-g>u does
  vim.bo.undolevels = vim.bo.undolevels
end

--- The text with line breaks as a buffer has them: its lines hold none, whatever 'fileformat' is.
function M.with_newlines(text)
  return (text:gsub("\r\n?", "\n"))
end

--- Whether Tab should accept: not in front of a line's text, where it indents, if the suggestion would indent too.
function M.accepts_tab()
  local before = vim.api.nvim_get_current_line():sub(1, vim.api.nvim_win_get_cursor(0)[2])
  return before:match("%S") ~= nil or (M.text() or ""):match("^[ \t]") == nil
end

--- Inserts a text and goes behind it; row and column count from 0, in bytes.
function M.insert(buffer, row, column, text)
  local lines = vim.split(M.with_newlines(text), "\n")
  vim.api.nvim_buf_set_text(buffer, row, column, row, column, lines)
  vim.api.nvim_win_set_cursor(0, { row + #lines, (#lines == 1 and column or 0) + #lines[#lines] })
end

--- The part of a text that is accepted: all, its first word with the blanks before it, its first line.
function M.first(text, part)
  if part == "line" then
    return text:match("^\n*[^\n]*")
  end
  if part == "word" then
    return text:match("^%s*[%w_\128-\255]+") or text:match("^%s*[^%w%s]+") or text
  end
  return text
end

function M._insertion()
  local item = shown.items[shown.index]
  local text = type(item.insertText) == "table" and item.insertText.value or item.insertText
  return M.with_newlines(text):sub(#(shown.typed or "") + 1)
end

--- Keeps what is shown while the user types the same; the server answers with the rest of it anyway.
function M._types_along()
  if not shown or shown.buffer ~= vim.api.nvim_get_current_buf() then
    return false
  end
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  if row - 1 ~= shown.row or column <= shown.column then
    return row - 1 == shown.row and column == shown.column
  end
  local typed = vim.api.nvim_buf_get_text(0, row - 1, shown.column, row - 1, column, {})[1]
  if not vim.startswith(M._insertion(), typed) or typed == M._insertion() then
    return false
  end
  shown.typed = (shown.typed or "") .. typed
  shown.column = column
  M._draw()
  return true
end

function M._draw()
  vim.api.nvim_buf_clear_namespace(shown.buffer, space, 0, -1)
  local lines = vim.split(M._insertion(), "\n")
  local below = {}
  for k = 2, #lines do
    below[#below + 1] = { { lines[k], "WarmlineGhost" } }
  end
  vim.api.nvim_buf_set_extmark(shown.buffer, space, shown.row, shown.column, {
    virt_text = { { lines[1], "WarmlineGhost" } },
    virt_text_pos = "inline",
    virt_lines = #below > 0 and below or nil,
  })
end

function M._cancel()
  if asked and asked.id then
    compat.cancel(asked.client, asked.id)
  end
  asked = nil
end

function M._tell_accepted(item)
  local client = require("warmline").client()
  if client and item.command then
    local params = { command = item.command.command, arguments = item.command.arguments }
    compat.request(client, "workspace/executeCommand", params, function() end)
  end
end

return M
