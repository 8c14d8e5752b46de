-- Ghost text for Neovim without vim.lsp.inline_completion: requests, shows and accepts completions.
local compat = require("warmline.compat")

local M = {}

local METHOD = "textDocument/inlineCompletion"
local INVOKED, AUTOMATIC = 1, 2
local space = vim.api.nvim_create_namespace("warmline")
vim.api.nvim_set_hl(0, "WarmlineGhost", { default = true, link = "Comment" })

local shown -- { buffer, row, column, items, index, typed }: the suggestion on the screen; 0-based, in bytes
local pending -- { client, id }: the request without an answer

local handled -- the state after the last key, to recognize the second event of the same key
local requested -- the state at the last request

--- Requests completions when the text changes or the cursor moves in insert mode.
function M.start(group)
  vim.api.nvim_create_autocmd({ "TextChangedI", "CursorMovedI" }, {
    group = group,
    callback = function()
      local state = M._state()
      -- one key fires both events
      if vim.deep_equal(state, handled) then
        return
      end
      handled = state
      if not M._advance() then
        M.dismiss()
      end
      M.request(AUTOMATIC)
    end,
  })
  vim.api.nvim_create_autocmd({ "InsertLeave", "BufLeave" }, {
    group = group,
    callback = function()
      M.dismiss()
      handled = nil
    end,
  })
end

--- Buffer, text version and cursor, for comparison.
function M._state()
  local buffer = vim.api.nvim_get_current_buf()
  local tick = vim.api.nvim_buf_get_changedtick(buffer)
  return { buffer = buffer, tick = tick, cursor = vim.api.nvim_win_get_cursor(0) }
end

--- Records the state at a request, to which a better completion belongs.
function M.record_request()
  requested = M._state()
  return requested
end

--- Requests completions. Cancels an older request and ignores late answers.
function M.request(kind)
  if not vim.startswith(vim.fn.mode(), "i") then
    return
  end
  local client = require("warmline").client()
  if not client or not client.initialized then
    return
  end
  M._cancel()
  local state = M.record_request()
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = kind or INVOKED }
  local function handler(problem, answer)
    pending = nil
    local is_current = vim.deep_equal(M._state(), state)
    if problem or not is_current or not vim.startswith(vim.fn.mode(), "i") then
      return
    end
    local items = answer and (answer.items or answer) or {}
    M.dismiss()
    if #items > 0 then
      local row, column = state.cursor[1] - 1, state.cursor[2]
      shown = { buffer = state.buffer, row = row, column = column, items = items, index = 1 }
      M._draw()
    end
  end
  local _, id = compat.request(client, METHOD, params, handler, state.buffer)
  pending = { client = client, id = id }
end

--- Repeats the request after `warmline/better`, if neither text nor cursor has changed since.
--- The request counts as invoked by the user, who waits for the result.
function M.request_better(better)
  local client, buffer = require("warmline").client(), vim.api.nvim_get_current_buf()
  if not client or better.uri ~= vim.uri_from_bufnr(buffer) then
    return
  end
  local here = vim.lsp.util.make_position_params(0, client.offset_encoding).position
  if vim.deep_equal(M._state(), requested) and vim.deep_equal(better.position, here) then
    M.request(INVOKED)
  end
end

--- Whether ghost text is shown.
function M.is_shown()
  return shown ~= nil
end

--- The ghost text; nil if none is shown.
function M.text()
  return shown and M._remaining() or nil
end

function M.dismiss()
  M._cancel()
  if shown then
    vim.api.nvim_buf_clear_namespace(shown.buffer, space, 0, -1)
    shown = nil
  end
end

--- Shows the next completion; requests alternatives if there is only one.
function M.next()
  if shown and #shown.items > 1 then
    shown.index = shown.index % #shown.items + 1
    M._draw()
  else
    M.request(INVOKED)
  end
end

--- Accepts the ghost text, or its next "word" or "line"; false if none is shown.
function M.accept(part)
  if not shown then
    return false
  end
  local suggestion, text = shown, M._remaining()
  local accepted = M.first_part(text, part)
  M.dismiss()
  M.break_undo()
  M.insert(suggestion.buffer, suggestion.row, suggestion.column, accepted)
  M.break_undo()
  if accepted == text then
    M._notify_accepted(suggestion.items[suggestion.index])
  end
  return true
end

--- Ends the undo block, so that undo removes the accepted text but not the text typed before it.
function M.break_undo()
  -- setting the option starts a new block even if the value stays the same, like <C-g>u
  vim.bo.undolevels = vim.bo.undolevels
end

--- The text with LF as line break: lines of a buffer contain no CR, whatever 'fileformat' is.
function M.with_newlines(text)
  return (text:gsub("\r\n?", "\n"))
end

--- Whether Tab accepts. It indents if only white space is before the cursor and the suggestion starts with some.
function M.accepts_tab()
  local before = vim.api.nvim_get_current_line():sub(1, vim.api.nvim_win_get_cursor(0)[2])
  return before:match("%S") ~= nil or (M.text() or ""):match("^[ \t]") == nil
end

--- Inserts a text and moves the cursor after it. Units: row and column from 0, in bytes.
function M.insert(buffer, row, column, text)
  local lines = vim.split(M.with_newlines(text), "\n")
  vim.api.nvim_buf_set_text(buffer, row, column, row, column, lines)
  vim.api.nvim_win_set_cursor(0, { row + #lines, (#lines == 1 and column or 0) + #lines[#lines] })
end

--- The first "word" of a text, with leading white space, or its first "line"; otherwise the whole text.
function M.first_part(text, part)
  if part == "line" then
    return text:match("^\n*[^\n]*")
  end
  if part == "word" then
    return text:match("^%s*[%w_\128-\255]+") or text:match("^%s*[^%w%s]+") or text
  end
  return text
end

--- The part of the suggestion that is not typed yet.
function M._remaining()
  local item = shown.items[shown.index]
  local text = type(item.insertText) == "table" and item.insertText.value or item.insertText
  return M.with_newlines(text):sub(#(shown.typed or "") + 1)
end

--- Keeps the suggestion if the typed text is its beginning: the server would answer with the rest. True if kept.
function M._advance()
  if not shown or shown.buffer ~= vim.api.nvim_get_current_buf() then
    return false
  end
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  if row - 1 ~= shown.row or column <= shown.column then
    return row - 1 == shown.row and column == shown.column
  end
  local typed = vim.api.nvim_buf_get_text(0, row - 1, shown.column, row - 1, column, {})[1]
  if not vim.startswith(M._remaining(), typed) or typed == M._remaining() then
    return false
  end
  shown.typed = (shown.typed or "") .. typed
  shown.column = column
  M._draw()
  return true
end

function M._draw()
  vim.api.nvim_buf_clear_namespace(shown.buffer, space, 0, -1)
  local lines = vim.split(M._remaining(), "\n")
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
  if pending and pending.id then
    compat.cancel(pending.client, pending.id)
  end
  pending = nil
end

function M._notify_accepted(item)
  local client = require("warmline").client()
  if client and item.command then
    local params = { command = item.command.command, arguments = item.command.arguments }
    compat.request(client, "workspace/executeCommand", params, function() end)
  end
end

return M
