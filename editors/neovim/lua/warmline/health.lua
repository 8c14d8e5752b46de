-- :checkhealth warmline
local M = {}

function M.check()
  local health = vim.health
  local process = require("warmline.process")
  local warmline = require("warmline")
  health.start("Warmline")
  if vim.fn.has("nvim-0.10") == 0 then
    health.error("Warmline needs Neovim 0.10 or newer, which has inline virtual text")
    return
  end
  health.ok("Neovim " .. tostring(vim.version()))
  health.info(
    warmline.options.native and "vim.lsp.inline_completion shows completions"
      or "Warmline's own ghost text shows completions"
  )
  local command, problem = process.resolve(warmline.options.command)
  if not command then
    health.error(problem, {
      "run: pip install warmline, in an environment whose bin folder is on the PATH",
      'or set its path: require("warmline").setup({ command = { "/path/to/warmline", "lsp" } })',
    })
    return
  end
  local program = command[1]
  local version = process.run({ program, "--version" }, 10000)
  if version.code == 0 then
    health.ok(vim.trim(version.stdout) .. " at " .. program)
  else
    health.error(program .. " failed: " .. vim.trim(version.stderr or ""), { "run: warmline doctor" })
  end
  local client = vim.lsp.get_clients({ name = "warmline" })[1]
  if not client then
    health.warn("the server is not running", { 'open a file after require("warmline").setup()' })
    return
  end
  local status = warmline.last_status
  if status and status.state == "error" then
    health.error(status.message or "the engine failed", { ":Warmline restart" })
  else
    health.ok("the server is running" .. (status and (": " .. status.state) or ""))
  end
end

return M
