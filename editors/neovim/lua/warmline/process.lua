-- The one way to start a program: by its whole path, outside of the project, and with an environment in which neither
-- Python nor the system looks for anything in the current folder.
local M = {}

local IS_WINDOWS = vim.fn.has("win32") == 1
local SEPARATOR = IS_WINDOWS and ";" or ":"
-- searched in order, for programs, modules and libraries
local LISTS = {
  "PATH",
  "PYTHONPATH",
  "LD_LIBRARY_PATH",
  "DYLD_LIBRARY_PATH",
  "DYLD_FRAMEWORK_PATH",
  "DYLD_FALLBACK_LIBRARY_PATH",
  "DYLD_FALLBACK_FRAMEWORK_PATH",
}
local FOLDERS = { "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX", "PYTHONSTARTUP" }

--- Starts the language server as vim.lsp.start does, whose arguments these are; nil where its program is not found.
function M.start_server(config, options)
  local command, problem = M.resolved(config.cmd)
  if not command then
    vim.notify_once("Warmline: " .. problem, vim.log.levels.ERROR)
    return nil
  end
  local own = { cmd = command, cmd_cwd = M.neutral_folder(), cmd_env = M.environment({ config.root_dir }) }
  return vim.lsp.start(vim.tbl_extend("force", config, own), options)
end

--- Runs a program to its end.
function M.run(command, timeout_ms)
  local options = { text = true, cwd = M.neutral_folder(), env = M.environment({}) }
  return vim.system(command, options):wait(timeout_ms)
end

--- A command with the whole path of its program; or nil and what is wrong.
function M.resolved(command)
  local name = command[1] or ""
  local program = name:gsub("^~([/\\])", function(separator)
    return vim.uv.os_homedir() .. separator
  end)
  if not M.is_whole(program) then
    if name == "" or name:find("[/\\:]") or vim.startswith(name, "~") then
      return nil, "command: " .. name .. " is a relative path; use an absolute path or one that starts with ~"
    end
    program = M._on_path(name)
    if not program then
      return nil, "the command " .. name .. " was not found"
    end
  end
  return vim.list_extend({ program }, command, 2)
end

--- Changes to the environment of each program that Warmline starts. No module of these folders or of the
--- current one takes the place of Python's.
function M.environment(folders)
  local barred = vim.list_extend({ vim.uv.cwd() }, folders)
  local made = { PYTHONSAFEPATH = "1", NoDefaultCurrentDirectoryInExePath = "1" }
  for _, name in ipairs(LISTS) do
    local value = vim.env[name]
    if value then
      made[name] = M._safe(value, name == "PYTHONPATH" and barred or {})
    end
  end
  if (made.PATH or "") == "" then
    made.PATH = IS_WINDOWS and M.neutral_folder() .. "\\System32" or "/bin:/usr/bin"
  end
  for _, name in ipairs(FOLDERS) do
    -- an empty one is none
    if vim.env[name] and not M.is_whole(vim.env[name]) then
      made[name] = ""
    end
  end
  return made
end

--- A folder that is always there, in which only an administrator may write.
function M.neutral_folder()
  return IS_WINDOWS and (vim.env.SystemRoot or "C:\\Windows") or "/"
end

--- Whether a path means the same in each folder.
function M.is_whole(path)
  if IS_WINDOWS then
    return path:find("^%a:[/\\]") ~= nil or path:find("^[/\\][/\\][^/\\]") ~= nil
  end
  return vim.startswith(path, "/")
end

function M._on_path(name)
  local endings = IS_WINDOWS and not name:find("%.%w+$") and { ".exe", ".com" } or { "" }
  for _, folder in ipairs(vim.split(M.environment({}).PATH, SEPARATOR, { plain = true })) do
    for _, ending in ipairs(endings) do
      local program = folder:gsub('"', ""):gsub("[/\\]$", "") .. "/" .. name .. ending
      -- a whole path: it looks nowhere else
      if vim.fn.executable(program) == 1 then
        return program
      end
    end
  end
  return nil
end

function M._safe(value, barred)
  local kept = vim.tbl_filter(function(entry)
    local folder = entry:gsub('"', "")
    return M.is_whole(folder) and not M._is_inside(folder, barred)
  end, vim.split(value, SEPARATOR, { plain = true }))
  return table.concat(kept, SEPARATOR)
end

function M._is_inside(path, folders)
  for _, folder in ipairs(folders) do
    local root = M._real(folder):gsub("/$", "") .. "/"
    if vim.startswith(M._real(path) .. "/", root) then
      return true
    end
  end
  return false
end

function M._real(path)
  return vim.fs.normalize(vim.uv.fs_realpath(path) or path)
end

return M
