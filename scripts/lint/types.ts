// SPDX-License-Identifier: GPL-2.0-or-later

export interface SourceFile {
  /** From the top of the repository. */
  path: string;
  text: string;
}

export interface Finding {
  path: string;
  /** From 1. */
  line: number;
  text: string;
  warning?: boolean;
}
