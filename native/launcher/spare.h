/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DRBDD_SPARE_H
#define DRBDD_SPARE_H

/* Wakes the spare engine of this installation, which `script` names: 0 when it has taken over. */
int spare_wake(const char *script);
/* Makes this process the spare: an inherited socket, told by DRBDD_SPARE. Not 0: there is one already, or none can be. */
int spare_become(const char *script);

#endif
