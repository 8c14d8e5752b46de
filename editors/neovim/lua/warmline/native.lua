-- Parts of what vim.lsp.inline_completion shows, on Neovim 0.12, which by itself accepts the whole only.
local ghost = require("warmline.ghost")

local M = {}

--- Inserts the next "word" or "line"; false where nothing is shown.
function M.accept(part)
  return vim.lsp.inline_completion.get({
    on_accept = function(item)
      -- by nothing that is returned Neovim is told to insert nothing; text may not change while a key is looked up
      vim.schedule(function()
        M._insert(item, part)
      end)
    end,
  })
end

function M._insert(item, part)
  local text = type(item.insert_text) == "table" and item.insert_text.value or item.insert_text
  text = ghost.with_newlines(text)
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  local begin_row, begin_column = M._begin(item.range)
  if begin_row and begin_row ~= row - 1 then
    return
  end
  -- what was typed since it was asked for
  local typed = begin_row and vim.api.nvim_get_current_line():sub(begin_column + 1, column) or ""
  if vim.startswith(text, typed) then
    ghost.break_undo()
    ghost.insert(0, row - 1, column, ghost.first(text:sub(#typed + 1), part))
  end
end

--- Row and column, from 0 and in bytes, that a completion begins at; nothing where it has no range.
function M._begin(range)
  if not range then
    return
  end
  -- a range has had either form while 0.12 was made
  return range.start_row or range.start.row, range.start_col or range.start.col
end

return M
