{
  "targets": [
    {
      "target_name": "isthmus",
      "sources": [
        "native/addon.cc",
        "native/aead.cc",
        "native/checksum.cc",
        "native/coalesce.cc",
        "native/segment.cc",
        "native/system.cc",
        "native/tun.cc",
        "native/udp.cc"
      ],
      "cflags": ["-O3", "-Wall", "-Wextra"],
      "cflags_cc": ["-std=c++17", "-fno-exceptions", "-fno-rtti"],
      "cflags!": ["-O2"],
      "defines": ["NAPI_VERSION=8"],
      "variables": { "sanitize%": 0 },
      "conditions": [
        [
          "sanitize==1",
          {
            "cflags": ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1"],
            "ldflags": ["-fsanitize=address,undefined"]
          }
        ]
      ]
    }
  ]
}
