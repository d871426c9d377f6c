#include "segment.h"

#include "checksum.h"
#include "rows.h"

namespace isthmus {
namespace {

constexpr int TCP = 6, UDP = 17;
constexpr int TCP_CHECKSUM = 16, UDP_CHECKSUM = 6;  // offsets in the transport header
constexpr uint8_t FIN = 0x01, PSH = 0x08, CWR = 0x80;

/** Bytes of the IP packet by its own header, or -1 if it is none or longer than `length`. */
int packetLength(const uint8_t* packet, int length) {
  int total = -1;
  if (length >= 20 && packet[0] >> 4 == 4) {
    const int header = (packet[0] & 15) * 4;
    total = load16(packet + 2);
    if (header < 20 || header > total) return -1;
  } else if (length >= 40 && packet[0] >> 4 == 6) {
    total = 40 + load16(packet + 4);
  }
  return total <= length ? total : -1;
}

/** Offset of the header of `protocol` in a packet of `total` bytes, behind IPv6 extension headers, or -1. */
int transportOffset(const uint8_t* packet, int total, int protocol) {
  if (packet[0] >> 4 == 4) return packet[9] == protocol ? (packet[0] & 15) * 4 : -1;
  int offset = 40;
  for (int next = packet[6]; next != protocol;) {
    const bool extension = next == 0 || next == 43 || next == 60;  // hop-by-hop options, routing, destination options
    if (!extension || offset + 8 > total) return -1;
    next = packet[offset];
    offset += 8 + packet[offset + 1] * 8;
  }
  return offset;
}

/** Bytes of all headers of a super-packet, or -1 if packet and `hdr` do not agree. */
int headerLength(const uint8_t* packet, int total, const virtio_net_hdr* hdr, int gso) {
  const bool ipv4 = packet[0] >> 4 == 4;
  const int protocol = gso == GSO_UDP ? UDP : TCP;
  if (gso == GSO_TCP4 ? !ipv4 : gso == GSO_TCP6 ? ipv4 : gso != GSO_UDP) return -1;
  if (hdr->gso_size == 0 || !(hdr->flags & VIRTIO_NEEDS_CSUM)) return -1;
  if (ipv4 && (load16(packet + 6) & 0x3fff) != 0) return -1;  // a fragment

  const int transport = transportOffset(packet, total, protocol);
  if (transport != hdr->csum_start || hdr->csum_offset != (protocol == UDP ? UDP_CHECKSUM : TCP_CHECKSUM)) return -1;
  if (protocol == UDP) {
    const bool agrees = transport + 8 <= total && load16(packet + transport + 4) == total - transport;
    return agrees && transport + 8 <= MAX_HEADER ? transport + 8 : -1;
  }
  if (transport + 20 > total) return -1;
  const int header = (packet[transport + 12] >> 4) * 4;
  return header >= 20 && transport + header <= total && transport + header <= MAX_HEADER ? transport + header : -1;
}

/** Completes a checksum whose field holds the sum of the pseudo-header. False if the field is not in the packet. */
bool completeChecksum(uint8_t* packet, int total, int start, int offset) {
  const int network = packet[0] >> 4 == 4 ? (packet[0] & 15) * 4 : 40;
  const int field = start + offset;
  if (start < network || field + 2 > total) return false;
  const uint16_t checksum = static_cast<uint16_t>(~fold(sum(packet + start, total - start)));
  store<uint16_t>(packet + field, offset == UDP_CHECKSUM ? udpChecksum(checksum) : checksum);
  return true;
}

}  // namespace

int inspect(uint8_t* packet, int length, const virtio_net_hdr* hdr, int32_t* row) {
  const int total = packetLength(packet, length);
  const int gso = hdr->gso_type & ~VIRTIO_GSO_ECN;
  row[LENGTH] = total < 0 ? length : total;
  row[GSO] = GSO_NONE;
  row[SEGMENT_SIZE] = 0;
  row[HEADER] = 0;
  row[SEGMENTS] = 0;
  if (total < 0) return -1;

  if (gso != GSO_NONE) {
    const int header = total == length ? headerLength(packet, total, hdr, gso) : -1;
    if (header < 0) return -1;
    const int payload = total - header;
    if (payload > hdr->gso_size) {
      row[GSO] = gso;
      row[SEGMENT_SIZE] = hdr->gso_size;
      row[HEADER] = header;
      row[SEGMENTS] = (payload + hdr->gso_size - 1) / hdr->gso_size;
      return 0;
    }
  }
  const bool incomplete = hdr->flags & VIRTIO_NEEDS_CSUM;
  if (incomplete && !completeChecksum(packet, total, hdr->csum_start, hdr->csum_offset)) return -1;
  row[SEGMENTS] = 1;
  return 0;
}

Segmenter::Segmenter(uint8_t* packet, const int32_t* row)
    : packet_(packet), position_(0), end_(row[LENGTH]), size_(row[LENGTH]), header_(0) {
  if (row[GSO] == GSO_NONE) return;
  position_ = end_;
  ipv4_ = packet[0] >> 4 == 4;
  udp_ = row[GSO] == GSO_UDP;
  transport_ = transportOffset(packet, end_, udp_ ? UDP : TCP);
  const int header = row[HEADER];
  const bool valid = transport_ >= 20 && header >= transport_ + (udp_ ? 8 : 20) && header <= MAX_HEADER;
  if (!valid || header > end_ || row[SEGMENT_SIZE] < 1) return;
  position_ = header;
  size_ = row[SEGMENT_SIZE];
  header_ = header;
  memcpy(template_, packet, static_cast<size_t>(header_));

  uint8_t* const transport = template_ + transport_;
  if (ipv4_) {
    identification_ = load16(template_ + 4);
    store16(template_ + 2, 0);
    store16(template_ + 4, 0);
    store16(template_ + 10, 0);
    networkSum_ = sum(template_, transport_);
  }
  if (udp_) {
    store16(transport + 4, 0);
  } else {
    sequence_ = load32(transport + 4);
    firstFlags_ = transport[13] & CWR;
    lastFlags_ = transport[13] & (FIN | PSH);
    flags_ = static_cast<uint8_t>(transport[13] & ~(FIN | PSH | CWR));
    store32(transport + 4, 0);
    transport[13] = 0;
  }
  // The field holds the pseudo-header with the length of the whole. That is taken out again; the rest stands, right
  // also where the packet's destination is not its header's (a routing header).
  transportSum_ = sum(transport, header_ - transport_) + static_cast<uint16_t>(~swap16(end_ - transport_));
}

bool Segmenter::next(uint8_t** segment, int* length) {
  if (position_ >= end_) return false;
  const int payload = end_ - position_ < size_ ? end_ - position_ : size_;
  uint8_t* const start = packet_ + position_ - header_;
  *segment = start;
  *length = header_ + payload;
  position_ += payload;
  if (header_ == 0) return true;

  memcpy(start, template_, static_cast<size_t>(header_));
  if (ipv4_) {
    const uint16_t total = swap16(*length);
    const uint16_t identification = swap16(identification_++);
    store<uint16_t>(start + 2, total);
    store<uint16_t>(start + 4, identification);
    store<uint16_t>(start + 10, static_cast<uint16_t>(~fold(networkSum_ + total + identification)));
  } else {
    store16(start + 4, *length - 40);
  }

  uint8_t* const transport = start + transport_;
  const uint16_t transportLength = swap16(*length - transport_);
  const uint64_t constant = transportSum_ + transportLength + sum(start + header_, payload);
  if (udp_) {
    store<uint16_t>(transport + 4, transportLength);
    store<uint16_t>(transport + UDP_CHECKSUM, udpChecksum(static_cast<uint16_t>(~fold(constant + transportLength))));
    return true;
  }
  const uint32_t sequence = __builtin_bswap32(sequence_);
  const uint8_t flags = static_cast<uint8_t>(flags_ | firstFlags_ | (position_ == end_ ? lastFlags_ : 0));
  store<uint32_t>(transport + 4, sequence);
  transport[13] = flags;
  store<uint16_t>(transport + TCP_CHECKSUM, static_cast<uint16_t>(~fold(constant + sequence + swap16(flags))));
  sequence_ += static_cast<uint32_t>(payload);
  firstFlags_ = 0;
  return true;
}

}  // namespace isthmus
