# SPDX-License-Identifier: GPL-2.0-or-later
{
  'targets': [
    {
      'target_name': 'drbdd',
      'sources': [
        'native/addon.cc',
        'native/bitmap.cc',
        'native/crc32c.cc',
        'native/digest.cc',
        'native/framing.cc',
        'native/page_pipe.cc',
        'native/pages.cc',
        'native/ring.cc',
        'native/shim.cc',
        'native/socket.cc',
        'native/stream.cc',
        'native/turn.cc',
        'native/turn_object.cc',
        'native/uring_lower.cc',
        'native/watchdog.cc',
      ],
      'include_dirs': ['<!@(node -p "require(\'node-addon-api\').include_dir")', 'kmod/uapi'],
      'defines': ['NAPI_VERSION=9', 'NAPI_DISABLE_CPP_EXCEPTIONS'],
      'cflags_cc!': ['-O3', '-std=gnu++17'],
      'cflags!': ['-O3'],
      'cflags_cc': ['-std=gnu++20', '-O2', '-Wall', '-Wextra', '-fno-exceptions', '-fvisibility=hidden'],
      'libraries': ['-l:liburing.a'],
    },
  ],
}
