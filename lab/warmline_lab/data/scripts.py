"""Which files of a JavaScript or TypeScript package people wrote: not built, minified, generated or vendored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from . import filters


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SCRIPTS = frozenset((".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"))
TYPED = frozenset((".ts", ".mts", ".cts", ".tsx"))
# share of a package's script characters that files of other kinds may add
OTHER_SHARES = {".json": 0.02, ".css": 0.03}
MAX_OTHER_CHARACTERS = 20_000

_VENDORED = _words(
    "node_modules bower_components jspm_packages web_modules vendor vendors vendored third_party third-party "
    "thirdparty external externals extern deps 3rdparty contrib _vendor _vendored"
)
# what builds write wherever it lies, and translations, which are data
_BUILT = _words(
    "dist cjs umd esm bundle bundles bundled min minified compiled transpiled generated gen __generated__ _generated "
    "coverage fesm __snapshots__ locale locales translations cldr"
)
# names that are a build's only at the top of a package
_BUILT_AT_TOP = _words(
    "build built out output es es5 es6 es2015 esnext modern legacy dts types typings public static amd iife system "
    "release releases lib-esm lib-cjs lib-commonjs lib-amd lib-umd lib-es2015"
)
_BUILT_FOLDER = re.compile(
    r"^(?:(?:dist|build|fesm|esm|cjs|umd)[-_.\d].*|_(?:dist|esm|cjs|umd|types)|\..+)$"
)
_DECLARATION = re.compile(r"\.d(?:\.\w+)?\.[mc]?ts$")
_BUILT_NAME = re.compile(
    r"[.\-_](?:min|umd|iife|amd|bundle|bundled|packed|generated|pb|grpc_pb)\.[mc]?[jt]sx?$"
    r"|\.(?:prod|production|development|global|legacy|standalone|pack|esm|es5|chunk|gen)\.[mc]?[jt]sx?$"
    r"|^(?:package-lock|npm-shrinkwrap|composer)\.json$"
    r"|\.min\.css$|[.\-_](?:bundle|chunk)\.css$|^chunk-[\w-]+\.[mc]?js$",
    re.IGNORECASE,
)
_GENERATED = re.compile(
    r"\b(?:file|code|module|source|class|script)s? (?:\w+ )?(?:is|was|are|were|has been) (?:\w+ )?generated"
    r"|\bgenerated (?:by|from|with|using|via|automatically|file|code|on)\b|\b(?:code|file|auto) ?-?generated\b"
    r"|\bmachine.generated\b|do not (?:edit|modify|change)|don'?t (?:edit|modify)|__generated__"
    r"|automatically (?:created|built|produced)|\*/?\s*GENERATED\b|//\s*GENERATED\b",
    re.IGNORECASE,
)
# what compilers and bundlers leave: no person writes these
_COMPILED = re.compile(
    r"Object\.defineProperty\(exports, ?['\"]__esModule['\"]|exports\.__esModule ?= ?true"
    r"|^\s*//[#@] sourceMappingURL="
    r"|\b_interop(?:RequireDefault|RequireWildcard|Namespace(?:Default)?)\b|\b_(?:classCallCheck|createClass|asyncToGenerator"
    r"|objectSpread2?|inheritsLoose|extends|jsxs?|defineProperty|toConsumableArray|createForOfIteratorHelper)\("
    r"|\b__(?:awaiter|decorate|extends|generator|rest|spreadArray|importDefault|importStar|createBinding|exportStar"
    r"|classPrivateFieldGet|esDecorate|commonJS|commonJSMin|toESM|toCommonJS|webpack_require__|vite__\w+|spreadValues"
    r"|publicField|privateGet|async)\b ?(?:\(|=)"
    r"|\bregeneratorRuntime\b|@babel/runtime|@swc/helpers|\btslib\b|^/\*\*\*/ |\bwebpackJsonp|__webpack"
    r"|^//#region |^//#endregion|^// (?:\.\./)*node_modules/|\$RefreshReg\$|React\.createElement\([^\n]*/\*#__PURE__\*/"
    r"|/\*#__PURE__\*/ ?_jsx|createElementVNode as _|goog\.require ?= ?function",
    re.MULTILINE,
)
# JavaScript with another language's types
_FLOW = re.compile(r"^[\s/*]*@flow\b|^ *(?://|\*) *@flow\b", re.MULTILINE)
_UMD = re.compile(
    r"typeof define ?={2,3} ?['\"]function['\"]|['\"]function['\"] ?={2,3} ?typeof define\b|\bdefine\.amd\b"
)


def is_vendored(path: str) -> bool:
    """Whether a path lies in a folder of other people's code."""
    return any(folder.lower() in _VENDORED for folder in PurePosixPath(path).parts[:-1])


def is_source_path(path: str) -> bool:
    """Whether a path looks like a source file that people wrote here, of a kind that is trained on."""
    pure = PurePosixPath(path)
    suffix = pure.suffix.lower()
    if suffix not in SCRIPTS and suffix not in OTHER_SHARES:
        return False
    if _DECLARATION.search(pure.name.lower()) or _BUILT_NAME.search(pure.name):
        return False
    folders = [folder.lower() for folder in pure.parts[:-1]]
    return (
        not is_vendored(path)
        and not any(folder in _BUILT or _BUILT_FOLDER.match(folder) for folder in folders)
        and not (folders and folders[0] in _BUILT_AT_TOP)
    )


def is_worth_reading(path: str, source: str) -> bool:
    """Whether a file's text is one that people wrote: not compiled, bundled, generated, minified or mostly data."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in OTHER_SHARES:
        return _is_plain(source)
    if not filters.is_worth_reading(source) or _GENERATED.search(source[:2000]):
        return False
    if _COMPILED.search(source) or _UMD.search(source[:3000]) or _FLOW.search(source[:1500]):
        return False
    return not _is_dense(source)


def without_outputs(paths: Iterable[str]) -> list[str]:
    """The paths less the JavaScript that was compiled from TypeScript beside it.

    That is all JavaScript outside the top folders of the TypeScript, where most of it has the name of a TypeScript
    file; and any script that lies beside a TypeScript file of its name.
    """
    listed = list(paths)
    typed = [PurePosixPath(path) for path in listed if PurePosixPath(path).suffix in TYPED]
    beside = {path.with_suffix("") for path in typed}
    stems, tops = {path.stem for path in typed}, {path.parts[0] for path in typed if path.parts[1:]}
    plain = [PurePosixPath(path) for path in listed if PurePosixPath(path).suffix not in TYPED]
    outside = [path for path in plain if path.suffix in SCRIPTS and path.parts[0] not in tops]
    n_alike = sum(path.stem in stems for path in outside)
    are_outputs = len(outside) < 2 * n_alike
    left_out = {path for path in plain if path.suffix in SCRIPTS and path.with_suffix("") in beside}
    left_out |= set(outside) if are_outputs else set()
    return [path for path in listed if PurePosixPath(path) not in left_out]


def _is_plain(source: str) -> bool:
    """Whether JSON or CSS is short and laid out in lines."""
    lines = source.splitlines()
    return (
        100 <= len(source) <= MAX_OTHER_CHARACTERS
        and len(lines) >= 5
        and max(map(len, lines)) <= 300
        and not _GENERATED.search(source[:2000])
    )


def _is_dense(source: str) -> bool:
    """Whether a script is packed: names of one letter everywhere, or hardly a blank.

    Minified code that a formatter has broken into lines is still of such names.
    """
    names = re.findall(r"[A-Za-z_$][\w$]*", source)
    n_short = sum(len(name) == 1 for name in names)
    n_blanks = sum(map(str.isspace, source))
    return n_blanks < 0.08 * len(source) or 0.4 * len(names) < n_short
