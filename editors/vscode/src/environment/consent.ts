import { INCLUDED } from "../models";
import type { Build } from "./pip";

/** The download size, and whether it is larger than this machine needs. */
export interface DownloadEstimate {
  size: Build;
  isMoreThanNeeded: boolean;
}

export const INSTALL = "Install";
export const SMALLER_DOWNLOAD = "Use a smaller download";
export const DONT_ASK = "Don't ask again";

/** The setting that makes the download smaller. */
export const CPU_INDEX = "warmline.environment.cpuIndex";

const SIZES: Record<Build, string> = {
  cpu: "downloads about 0.3 GB and needs 2 GB of disk space",
  cuda: "downloads about 3 GB and needs 9 GB of disk space",
};

export interface Question {
  text: string;
  buttons: string[];
}

/** The question before a large download. `isUpdate`: an environment exists, but its torch is too old. */
export function installQuestion(
  { size, isMoreThanNeeded }: DownloadEstimate,
  isUpdate: boolean,
): Question {
  const what = isUpdate
    ? "This version of Warmline needs another version of torch. Install it into the extension's environment?"
    : "Warmline needs a Python environment. Create one in the extension's storage?";
  const cost = isMoreThanNeeded
    ? `On Linux, pip's default build of torch is for NVIDIA GPUs, which this machine lacks: it ${SIZES.cuda}. ` +
      `The CPU build ${SIZES.cpu}; to use it, set ${CPU_INDEX} to an index that has it.`
    : `This takes a few minutes: it ${SIZES[size]}.`;
  const buttons = isMoreThanNeeded ? [INSTALL, SMALLER_DOWNLOAD, DONT_ASK] : [INSTALL, DONT_ASK];
  return { text: `${what} ${cost}`, buttons };
}

/** The question after the settings were opened. */
export const AFTER_SETTING: Question = {
  text: `Set ${CPU_INDEX} to the URL of an index with the CPU build of torch. Then choose Install.`,
  buttons: [INSTALL, DONT_ASK],
};

/** Whether files of a language will get completions, as far as is known before the server runs. */
export function isServed(
  language: string,
  languages: Readonly<Record<string, boolean>>,
  model: string,
): boolean {
  // the included models support only Python
  return languages[language] ?? (!INCLUDED.includes(model) || language === "python");
}
