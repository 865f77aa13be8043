// SPDX-License-Identifier: GPL-2.0-or-later
#include "transport.h"

DRBD_SHIM_TRANSPORT_MODULE(lb_tcp);
