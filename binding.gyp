{
  "targets": [
    {
      "target_name": "isthmus",
      "sources": [
        "native/addon.cc",
        "native/aead.cc",
        "native/checksum.cc",
        "native/cipher.cc",
        "native/coalesce.cc",
        "native/ring.cc",
        "native/segment.cc",
        "native/system.cc",
        "native/transit.cc",
        "native/tun.cc",
        "native/udp.cc"
      ],
      "cflags": ["-O3", "-Wall", "-Wextra"],
      "cflags_cc": ["-std=c++17", "-fno-exceptions", "-fno-rtti"],
      "cflags!": ["-O2"],
      "defines": ["NAPI_VERSION=8"],
      "variables": { "sanitize%": 0, "ipsec_mb%": "" },
      "conditions": [
        [
          "ipsec_mb!=''",
          {
            "defines": ["ISTHMUS_IPSEC_MB"],
            "libraries": ["<(ipsec_mb)"],
            "ldflags": ["-Wl,--gc-sections", "-Wl,--exclude-libs,ALL"]
          }
        ],
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
