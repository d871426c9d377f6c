#include "coalesce.h"

#include "checksum.h"
#include "rows.h"

namespace isthmus {
namespace {

constexpr int TCP = 6, UDP = 17;
constexpr uint8_t PSH = 0x08, ACK = 0x10;
constexpr int MAX_PACKET = 65535;

/** What a flow's latest group is to the next packet. MERGED is only an answer: the packet went into that group. */
enum State : int32_t {
  CLOSED,      // nothing more goes in
  UNVERIFIED,  // one packet, whose checksums nobody has looked at
  VERIFIED,
  MERGED
};

/** A TCP or UDP packet, read once. */
struct Shape {
  int transport;  // offset of its header
  int header;     // bytes of all headers
  int payload;    // bytes; 0 if the packet can be in no group with another
  bool tcp;
  bool push;          // TCP: ends a group
  uint32_t sequence;  // TCP; else 0
};

/** False if the packet belongs to no flow: no TCP or UDP, or its ports are not where they are looked for. */
bool read(const uint8_t* packet, int length, Shape* shape) {
  bool plain;
  int protocol;
  if (length >= 20 && packet[0] >> 4 == 4) {
    const int fragment = load16(packet + 6);
    shape->transport = (packet[0] & 15) * 4;
    if (shape->transport < 20 || (fragment & 0x1fff) != 0) return false;
    plain = shape->transport == 20 && load16(packet + 2) == length && (fragment & 0x2000) == 0;
    protocol = packet[9];
  } else if (length >= 40 && packet[0] >> 4 == 6) {
    shape->transport = 40;
    plain = load16(packet + 4) + 40 == length;
    protocol = packet[6];
  } else {
    return false;
  }

  const uint8_t* const transport = packet + shape->transport;
  const int available = length - shape->transport;
  shape->tcp = protocol == TCP;
  shape->push = false;
  shape->sequence = 0;
  if (shape->tcp && available >= 20) {
    const int header = (transport[12] >> 4) * 4;
    shape->header = shape->transport + header;
    shape->push = transport[13] & PSH;
    shape->sequence = load32(transport + 4);
    plain = plain && header >= 20 && header < available && (transport[12] & 15) == 0 && (transport[13] & ~PSH) == ACK;
  } else if (protocol == UDP && available >= 8) {
    shape->header = shape->transport + 8;
    plain = plain && load16(transport + 4) == available && load16(transport + 6) != 0;
  } else {
    return false;
  }
  shape->payload = plain ? length - shape->header : 0;
  return true;
}

/** Whether a packet, whose transport header is at `transport`, is of the flow of `first`; both have been `read`. */
bool sameFlow(const uint8_t* first, const uint8_t* packet, int transport) {
  if (first[0] >> 4 != packet[0] >> 4) return false;
  if (packet[0] >> 4 == 4) {
    return load<uint64_t>(first + 12) == load<uint64_t>(packet + 12) && first[9] == packet[9] &&
           load<uint32_t>(first + (first[0] & 15) * 4) == load<uint32_t>(packet + transport);
  }
  return memcmp(first + 8, packet + 8, 36) == 0 && first[6] == packet[6];  // both addresses, and the ports behind them
}

uint32_t hashFlow(const uint8_t* packet, int transport, int peer) {
  const bool ipv4 = packet[0] >> 4 == 4;
  const uint8_t* const addresses = packet + (ipv4 ? 12 : 8);
  const int words = ipv4 ? 1 : 4;
  uint64_t hash = load<uint32_t>(packet + transport) + (static_cast<uint64_t>(peer) << 32) + packet[ipv4 ? 9 : 6];
  for (int word = 0; word < words; word++) {
    hash = (hash ^ load<uint64_t>(addresses + word * 8)) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  }
  return static_cast<uint32_t>(hash);
}

/** Whether all headers but what grows from packet to packet are those of the group's first, `count` packets before. */
bool sameHeaders(const uint8_t* first, const uint8_t* packet, int count, const Shape& shape) {
  if (packet[0] >> 4 == 4) {
    // Version, header length, TOS; flags; TTL. Cut again, the packet's identifications count up; with DF they mean
    // nothing (RFC 6864).
    if (load<uint16_t>(first) != load<uint16_t>(packet) || first[6] != packet[6] || first[8] != packet[8]) return false;
    const bool atomic = packet[6] & 0x40;
    if (!atomic && load16(packet + 4) != ((load16(first + 4) + count) & 0xffff)) return false;
  } else if (load<uint32_t>(first) != load<uint32_t>(packet) || first[7] != packet[7]) {  // class, flow label; hops
    return false;
  }
  if (!shape.tcp) return true;
  const uint8_t* const left = first + shape.transport;
  const uint8_t* const right = packet + shape.transport;
  const size_t options = static_cast<size_t>(shape.header - shape.transport - 20);
  return load<uint32_t>(left + 8) == load<uint32_t>(right + 8) && left[12] == right[12] &&  // acknowledgement, length
         memcmp(left + 20, right + 20, options) == 0;
}

/** Whether the checksums of IPv4 and transport header are right. */
bool verify(const uint8_t* packet, int length, const Shape& shape) {
  if (packet[0] >> 4 == 4 && fold(sum(packet, shape.transport)) != 0xffff) return false;
  const int covered = length - shape.transport;
  const uint64_t pseudo = pseudoHeader(packet, shape.tcp ? TCP : UDP, covered);
  return fold(pseudo + sum(packet + shape.transport, covered)) == 0xffff;
}

}  // namespace

/** What `run` was given. */
struct Coalescer::Batch {
  const uint8_t* slab;
  int32_t* rows;
  int32_t* groups;

  int32_t* row(int index) const { return rows + index * ROW_WORDS; }
  int32_t* group(int index) const { return groups + index * GROUP_WORDS; }
  const uint8_t* packet(int index) const { return slab + row(index)[OFFSET]; }

  /** Whether a row, whose transport header is at `transport`, is of the flow of a group. */
  bool contains(const int32_t* group, int index, int transport) const {
    return group[GROUP_PEER] == row(index)[PEER] && sameFlow(packet(group[GROUP_FIRST]), packet(index), transport);
  }

  void begin(int32_t* group, int index) const {
    row(index)[NEXT] = -1;
    row(index)[TAIL] = index;
    group[GROUP_FIRST] = index;
    group[GROUP_COUNT] = 1;
    group[GROUP_LENGTH] = row(index)[LENGTH];
    group[GROUP_GSO] = GSO_NONE;
    group[GROUP_SEGMENT_SIZE] = 0;
    group[GROUP_HEADER] = 0;
    group[GROUP_PEER] = row(index)[PEER];
    group[GROUP_VERDICT] = 0;
  }

  /** Puts a row into its flow's latest group if it belongs there: MERGED. Else the state of the group it begins. */
  State append(const Flow& flow, int index, const Shape& shape) const {
    if (shape.payload == 0) return CLOSED;
    if (flow.state == CLOSED) return UNVERIFIED;
    int32_t* const group = this->group(flow.group);
    int32_t* const first = row(group[GROUP_FIRST]);
    const uint8_t* const firstPacket = packet(group[GROUP_FIRST]);
    const int count = group[GROUP_COUNT];
    const int size = first[LENGTH] - shape.header;
    if (shape.tcp && shape.sequence != flow.sequence) return UNVERIFIED;
    if (!sameHeaders(firstPacket, packet(index), count, shape)) return UNVERIFIED;
    if (shape.payload > size || group[GROUP_LENGTH] + shape.payload > MAX_PACKET) return UNVERIFIED;
    if (count == (shape.tcp ? MAX_TCP_ROWS : MAX_UDP_ROWS)) return UNVERIFIED;

    if (!verify(packet(index), row(index)[LENGTH], shape)) return CLOSED;
    if (flow.state == UNVERIFIED && !verify(firstPacket, first[LENGTH], shape)) return VERIFIED;

    row(first[TAIL])[NEXT] = index;
    first[TAIL] = index;
    row(index)[NEXT] = -1;
    group[GROUP_COUNT] = count + 1;
    group[GROUP_LENGTH] += shape.payload;
    group[GROUP_GSO] = !shape.tcp ? GSO_UDP : shape.transport == 20 ? GSO_TCP4 : GSO_TCP6;
    group[GROUP_SEGMENT_SIZE] = size;
    group[GROUP_HEADER] = shape.header;
    return MERGED;
  }
};

/**
 * The slot of a row's flow, a new one if need be; null if the slots where it may be are all taken by others, which they
 * will be to the end of the batch: then no packet of that flow merges, and none overtakes another.
 */
Coalescer::Flow* Coalescer::find(const Batch& batch, int index, int transport) {
  const uint32_t hash = hashFlow(batch.packet(index), transport, batch.row(index)[PEER]);
  for (uint32_t probe = 0; probe < PROBES; probe++) {
    Flow* const flow = &flows_[(hash + probe) % SLOTS];
    if (flow->epoch != epoch_) {
      *flow = {epoch_, hash, 0, CLOSED, 0};
      return flow;
    }
    if (flow->hash == hash && batch.contains(batch.group(flow->group), index, transport)) return flow;
  }
  return nullptr;
}

int Coalescer::run(uint8_t* slab, int32_t* rows, int count, int32_t* groups, bool allowTcp, bool allowUdp) {
  if (++epoch_ == 0) {
    memset(flows_, 0, sizeof flows_);
    epoch_ = 1;
  }
  const Batch batch = {slab, rows, groups};
  int groupCount = 0;
  Flow* flow = nullptr;  // of the latest packet that had one: most often the next one's too
  for (int index = 0; index < count; index++) {
    const int32_t* const row = batch.row(index);
    if (row[VERDICT] != 0 || row[LENGTH] <= 0) continue;

    Shape shape;
    if (!read(batch.packet(index), row[LENGTH], &shape) || !(shape.tcp ? allowTcp : allowUdp)) {
      batch.begin(batch.group(groupCount++), index);
      continue;
    }
    const bool same = flow != nullptr && batch.contains(batch.group(flow->group), index, shape.transport);
    if (!same) flow = find(batch, index, shape.transport);
    if (flow == nullptr) {
      batch.begin(batch.group(groupCount++), index);
      continue;
    }
    int32_t state = batch.append(*flow, index, shape);
    if (state == MERGED) {
      state = shape.payload < batch.group(flow->group)[GROUP_SEGMENT_SIZE] ? CLOSED : VERIFIED;
    } else {
      flow->group = groupCount++;
      batch.begin(batch.group(flow->group), index);
    }
    flow->state = shape.push ? CLOSED : state;
    flow->sequence = shape.sequence + static_cast<uint32_t>(shape.payload);
  }
  return groupCount;
}

int gather(uint8_t* slab, const int32_t* rows, const int32_t* group, virtio_net_hdr* hdr, iovec* iov, int iovMax) {
  const int count = group[GROUP_COUNT];
  if (count < 1 || count + 1 > iovMax) return -1;
  memset(hdr, 0, sizeof *hdr);
  const int32_t* row = rows + group[GROUP_FIRST] * ROW_WORDS;
  uint8_t* const packet = slab + row[OFFSET];
  iov[0] = {hdr, sizeof *hdr};
  iov[1] = {packet, static_cast<size_t>(row[LENGTH])};
  if (count == 1) return 2;

  const int header = group[GROUP_HEADER];
  for (int slice = 2; slice <= count; slice++) {
    if (row[NEXT] < 0) return -1;
    row = rows + row[NEXT] * ROW_WORDS;
    iov[slice] = {slab + row[OFFSET] + header, static_cast<size_t>(row[LENGTH] - header)};
  }

  const int total = group[GROUP_LENGTH];
  const bool ipv4 = packet[0] >> 4 == 4;
  const bool udp = group[GROUP_GSO] == GSO_UDP;
  const int transport = ipv4 ? 20 : 40;
  const int field = udp ? 6 : 16;
  if (ipv4) {
    store16(packet + 2, total);
    store16(packet + 10, 0);
    store<uint16_t>(packet + 10, static_cast<uint16_t>(~fold(sum(packet, transport))));
  } else {
    store16(packet + 4, total - transport);
  }
  if (udp) store16(packet + transport + 4, total - transport);
  else packet[transport + 13] |= slab[row[OFFSET] + transport + 13] & PSH;  // of the last packet, where a run ends
  store<uint16_t>(packet + transport + field, fold(pseudoHeader(packet, udp ? UDP : TCP, total - transport)));

  hdr->flags = VIRTIO_NEEDS_CSUM;
  hdr->gso_type = static_cast<uint8_t>(group[GROUP_GSO]);
  hdr->hdr_len = static_cast<uint16_t>(header);
  hdr->gso_size = static_cast<uint16_t>(group[GROUP_SEGMENT_SIZE]);
  hdr->csum_start = static_cast<uint16_t>(transport);
  hdr->csum_offset = static_cast<uint16_t>(field);
  return count + 1;
}

}  // namespace isthmus
