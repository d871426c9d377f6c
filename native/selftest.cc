// A program that tries segmentation and coalescing against slow, obvious versions of both, then on malformed packets.
// Built with ASan and UBSan; what lies around each packet is poisoned. Same seed, same run. Exits with 0 if all holds.
#include <map>
#include <memory>
#include <vector>

#include "checksum.h"
#include "coalesce.h"
#include "rows.h"
#include "segment.h"
#include "selftest.h"

using namespace isthmus;

namespace {

/** Segments of a packet by `inspect` and `Segmenter`, each overwritten once it is taken, as a caller may. */
std::vector<Bytes> segmentsOf(const Bytes& packet, const virtio_net_hdr& hdr, int32_t* row) {
  constexpr int SLACK = 15;
  const int length = static_cast<int>(packet.size());
  std::unique_ptr<uint8_t[]> buffer(new uint8_t[packet.size() + SLACK]);
  std::copy(packet.begin(), packet.end(), buffer.get());
  std::vector<Bytes> segments;
  if (inspect(buffer.get(), length, &hdr, row) < 0) {
    CHECK(row[SEGMENTS] == 0);
    return segments;
  }
  Segmenter segmenter(buffer.get(), row);
  uint8_t* segment;
  for (int size; segmenter.next(&segment, &size);) {
    uint8_t* const end = segment + size;
    segments.emplace_back(segment, end);
    const Bytes behind(end, end + SLACK);
    std::fill(segment, end + SLACK, 0xaa);
    std::copy(behind.begin(), behind.end(), end);
  }
  CHECK(static_cast<int>(segments.size()) == row[SEGMENTS]);
  return segments;
}

void tryChecksum() {
  for (int length = 0; length < 300; length++) {
    for (int at = 0; at < 8; at++) {
      Bytes bytes = any.bytes(at + length);
      if (any.one(4)) std::fill(bytes.begin(), bytes.end(), 0xff);
      const Bytes summed(bytes.begin() + at, bytes.end());
      CHECK(fold(sum(bytes.data() + at, length)) == swap16(slowSum(summed)));
    }
  }
}

void trySegmentation(int count) {
  int made = 0;
  for (int round = 0; round < count; round++) {
    Recipe recipe = randomRecipe(false);
    if (any.one(5)) zeroChecksums(&recipe);
    const int length = static_cast<int>(recipe.payload.size());
    int32_t row[ROW_WORDS] = {};
    CHECK(segmentsOf(build(recipe, 0, length, 0, false), headerOf(recipe, true), row) == cut(recipe));
    made += row[SEGMENTS];
    CHECK(row[LENGTH] == recipe.header() + length && row[SEGMENTS] == recipe.segments());
    CHECK(row[GSO] == (recipe.segments() == 1 ? GSO_NONE : gsoOf(recipe)));
    CHECK(row[SEGMENT_SIZE] == (recipe.segments() == 1 ? 0 : recipe.size));
    CHECK(row[HEADER] == (recipe.segments() == 1 ? 0 : recipe.header()));

    Bytes single = build(recipe, 0, length, 0, false);
    append(&single, any.bytes(any.between(0, 1) * 6));  // bytes behind the IP packet do not count
    const std::vector<Bytes> whole = {build(recipe, 0, length, 0, true)};
    CHECK(segmentsOf(single, headerOf(recipe, false), row) == whole);
    CHECK(segmentsOf(whole[0], virtio_net_hdr{}, row) == whole);
  }
  printf("%d super-packets cut into %d segments\n", count, made);
}

/** What a packet and its virtio_net_hdr can disagree about is refused. */
void tryRefusals() {
  Recipe recipe = randomRecipe(true);
  recipe.size = 100, recipe.flags = ACK, recipe.options = 0, recipe.payload = any.bytes(300);
  const auto refuses = [&](bool ipv6, bool udp, auto change) {
    recipe.addresses = any.bytes(ipv6 ? 32 : 8);
    recipe.ipv6 = ipv6, recipe.udp = udp;
    Bytes packet = build(recipe, 0, static_cast<int>(recipe.payload.size()), 0, false);
    virtio_net_hdr hdr = headerOf(recipe, true);
    change(packet.data(), packet.data() + recipe.network(), &hdr);
    int32_t row[ROW_WORDS];
    return inspect(packet.data(), static_cast<int>(packet.size()), &hdr, row) == -1 && row[SEGMENTS] == 0;
  };
  using Header = uint8_t*;
  using Virtio = virtio_net_hdr*;
  for (bool ipv6 : {false, true}) {
    CHECK(!refuses(ipv6, true, [](Header, Header, Virtio) {}));
    CHECK(refuses(ipv6, true, [](Header ip, Header, Virtio) { ip[0] = 0x50; }));
    CHECK(refuses(ipv6, false, [=](Header ip, Header, Virtio) { ip[ipv6 ? 4 : 2]++; }));  // longer than what was read
    CHECK(refuses(ipv6, false, [=](Header ip, Header, Virtio) { ip[ipv6 ? 5 : 3]--; }));  // shorter
    CHECK(refuses(ipv6, true, [=](Header ip, Header, Virtio) { ip[ipv6 ? 6 : 9] = 1; }));  // another protocol
    CHECK(refuses(ipv6, true, [](Header, Header udp, Virtio) { udp[5]++; }));
    CHECK(refuses(ipv6, false, [](Header, Header tcp, Virtio) { tcp[12] = 0x40; }));
    CHECK(refuses(ipv6, false, [=](Header, Header, Virtio hdr) { hdr->gso_type = ipv6 ? GSO_TCP4 : GSO_TCP6; }));
    CHECK(refuses(ipv6, false, [](Header, Header, Virtio hdr) { hdr->gso_type = 3; }));  // UFO
    CHECK(refuses(ipv6, false, [](Header, Header, Virtio hdr) { hdr->gso_size = 0; }));
    CHECK(refuses(ipv6, false, [](Header, Header, Virtio hdr) { hdr->flags = 0; }));
    CHECK(refuses(ipv6, false, [](Header, Header, Virtio hdr) { hdr->csum_start += 4; }));
    CHECK(refuses(ipv6, false, [](Header, Header, Virtio hdr) { hdr->csum_offset = 6; }));
    CHECK(refuses(ipv6, true, [](Header, Header, Virtio hdr) { *hdr = {1, GSO_NONE, 0, 0, 16, 6}; }));
    CHECK(refuses(ipv6, true, [](Header, Header, Virtio hdr) { *hdr = {1, GSO_NONE, 0, 0, 400, 6}; }));
  }
  CHECK(refuses(false, true, [](Header ip, Header, Virtio) { ip[6] |= 0x20; }));
  CHECK(refuses(false, true, [](Header ip, Header, Virtio hdr) { ip[0] = 0x44, *hdr = {}; }));
  CHECK(refuses(false, true, [](Header ip, Header, Virtio hdr) { ip[0] = 0x4f, ip[2] = 0, ip[3] = 40, *hdr = {}; }));
  recipe.payload = any.bytes(30);
  CHECK(refuses(false, false, [](Header, Header tcp, Virtio) { tcp[12] = 0xf0; }));
  printf("packets that disagree with their virtio_net_hdr are refused\n");
}

/** A super-packet's segments give the super-packet again. */
void tryRoundTrips(int count) {
  int merged = 0;
  for (int round = 0; round < count; round++) {
    const Recipe recipe = randomRecipe(true);
    const std::vector<Bytes> segments = cut(recipe);
    const int most = recipe.udp ? MAX_UDP_ROWS : MAX_TCP_ROWS, size = static_cast<int>(segments.size());
    Batch batch;
    for (const Bytes& segment : segments) batch.add(segment);
    CHECK(batch.run() == (size + most - 1) / most);
    if (size < 2 || size > most) continue;
    merged++;
    virtio_net_hdr hdr, expected = headerOf(recipe, true);
    expected.hdr_len = static_cast<uint16_t>(recipe.header());
    Bytes super = build(recipe, 0, static_cast<int>(recipe.payload.size()), 0, false);
    CHECK(batch.written(0, &hdr) == super && batch.written(0, &hdr) == super);
    CHECK(memcmp(&hdr, &expected, sizeof hdr) == 0);
  }
  printf("%d runs of segments merged into the super-packet they came from\n", merged);
}

/** Flows shuffled together, with losses, damage and strays among them: cut again, each is what it was, in its order. */
void tryMixtures(int count) {
  int packets = 0, groups = 0;
  for (int round = 0; round < count; round++) {
    std::map<int, std::vector<Bytes>> sent, received;  // by peer; one flow each
    std::vector<int> turns;
    const int flows = any.between(1, 12);
    const bool faults = any.one(2);
    for (int peer = 0; peer < flows; peer++) {
      Recipe recipe = randomRecipe(true);
      recipe.payload.resize(std::min(recipe.payload.size(), size_t(recipe.size) * 60));
      for (Bytes packet : cut(recipe)) {
        if (faults && any.one(12)) continue;
        const int behindPorts = any.between(recipe.network() + 4, static_cast<int>(packet.size()) - 1);
        if (faults && any.one(12)) packet[static_cast<size_t>(behindPorts)] ^= 0x10;
        if (faults && any.one(12)) packet.resize(packet.size() - 1);
        sent[peer].push_back(packet);
        turns.push_back(peer);
      }
    }
    if (any.one(2))
      for (size_t at = turns.size(); at > 1; at--) std::swap(turns[at - 1], turns[any.next() % at]);
    Batch batch;
    std::map<int, size_t> taken;
    for (int peer : turns) batch.add(sent[peer][taken[peer]++], peer);
    const int made = batch.run();
    CHECK(faults ? made >= static_cast<int>(sent.size()) : made == flows);
    for (int index = 0; index < made; index++) {
      const int32_t* const group = batch.groups.data() + index * GROUP_WORDS;
      virtio_net_hdr hdr;
      int32_t row[ROW_WORDS];
      Bytes bytes = batch.written(index, &hdr);
      const bool single = group[GROUP_COUNT] == 1;
      for (const Bytes& packet : single ? std::vector<Bytes>{bytes} : segmentsOf(bytes, hdr, row))
        received[group[GROUP_PEER]].push_back(packet);
    }
    for (auto* side : {&sent, &received})  // the identification of a packet that must not be fragmented is not kept
      for (auto& [peer, list] : *side)
        for (Bytes& packet : list)
          if (packet[0] >> 4 == 4 && packet[6] & 0x40) store16(&packet[4], 0), store16(&packet[10], 0);
    CHECK(sent == received);
    packets += static_cast<int>(turns.size());
    groups += made;
  }
  printf("%d packets of mixed flows in %d groups, each flow what it was\n", packets, groups);
}

/** Makes the checksums of a plain packet right again. */
Bytes repaired(Bytes packet) {
  virtio_net_hdr hdr = {};
  const bool ipv4 = packet[0] >> 4 == 4, udp = packet[ipv4 ? 9 : 6] == UDP;
  const int network = ipv4 ? (packet[0] & 15) * 4 : 40, length = static_cast<int>(packet.size());
  hdr.flags = VIRTIO_NEEDS_CSUM;
  hdr.csum_start = static_cast<uint16_t>(network);
  hdr.csum_offset = udp ? 6 : 16;
  const uint64_t pseudo = pseudoHeader(packet.data(), udp ? UDP : TCP, length - network);
  store<uint16_t>(&packet[size_t(network + hdr.csum_offset)], fold(pseudo));
  int32_t row[ROW_WORDS];
  CHECK(inspect(packet.data(), length, &hdr, row) == 0);
  if (ipv4) store16(&packet[10], 0), store16(&packet[10], ~slowSum(Bytes(packet.begin(), packet.begin() + network)));
  return packet;
}

enum Changed { SECOND, ALL, DAMAGED };

/** Groups that three segments make when the second, or all, are changed; the checksums are right unless DAMAGED. */
template <typename Change>
int groupsWith(bool ipv6, bool udp, Change change, Changed changed = SECOND) {
  Recipe recipe = randomRecipe(true);
  recipe.addresses = any.bytes(ipv6 ? 32 : 8);
  recipe.ipv6 = ipv6, recipe.udp = udp, recipe.dontFragment = false, recipe.options = 12, recipe.flags = ACK;
  recipe.size = 100, recipe.payload = any.bytes(300);
  zeroChecksums(&recipe);
  Batch batch;
  for (Bytes& segment : cut(recipe)) {
    const bool untouched = changed != ALL && batch.rows.size() != ROW_WORDS;
    if (!untouched) change(segment.data(), segment.data() + recipe.network());
    batch.add(untouched || changed == DAMAGED ? segment : repaired(segment));
  }
  return batch.run();
}

void tryRules() {
  using Header = uint8_t*;
  for (bool ipv6 : {false, true}) {
    for (bool udp : {false, true}) {
      const int apart = ipv6 && udp ? 2 : 3;  // the others are not contiguous, by sequence or identification
      CHECK(groupsWith(ipv6, udp, [](Header, Header) {}) == 1);
      CHECK(groupsWith(ipv6, udp, [](Header ip, Header) { ip[1] ^= 0x10; }) == 3);                  // TOS; class
      CHECK(groupsWith(ipv6, udp, [=](Header ip, Header) { ip[ipv6 ? 7 : 8]--; }) == 3);            // TTL; hop limit
      CHECK(groupsWith(ipv6, udp, [=](Header ip, Header) { ip[ipv6 ? 20 : 14] ^= 1; }) == apart);   // another flow
      CHECK(groupsWith(ipv6, udp, [](Header, Header transport) { transport[3] ^= 1; }) == apart);   // likewise
      CHECK(groupsWith(ipv6, udp, [](Header, Header transport) { transport[40] ^= 1; }, DAMAGED) == 3);
    }
    CHECK(groupsWith(ipv6, true, [](Header, Header udp) { store16(udp + 6, 0); }, DAMAGED) == 3);  // no checksum
    CHECK(groupsWith(ipv6, false, [](Header, Header tcp) { tcp[14] ^= 1; }) == 1);              // window
    CHECK(groupsWith(ipv6, false, [](Header, Header tcp) { tcp[11] ^= 1; }) == 3);              // acknowledgement
    CHECK(groupsWith(ipv6, false, [](Header, Header tcp) { tcp[25] ^= 1; }) == 3);              // options
    CHECK(groupsWith(ipv6, false, [](Header, Header tcp) { tcp[7] ^= 1; }) == 3);               // sequence
    CHECK(groupsWith(ipv6, false, [](Header, Header tcp) { tcp[13] |= PSH; }) == 2);            // ends the run
    for (Changed which : {SECOND, ALL}) {
      for (uint8_t flag : {FIN, SYN, URG, CWR})
        CHECK(groupsWith(ipv6, false, [=](Header, Header tcp) { tcp[13] |= flag; }, which) == 3);
      CHECK(groupsWith(ipv6, false, [](Header, Header tcp) { tcp[12] ^= 1; }, which) == 3);  // a reserved bit
      CHECK(groupsWith(false, ipv6, [](Header ip, Header) { ip[6] ^= 0x20; }, which) == 3);  // a first fragment
    }
  }
  CHECK(groupsWith(false, true, [](Header ip, Header) { ip[5] ^= 1; }) == 3);           // identification, may fragment
  CHECK(groupsWith(false, true, [](Header ip, Header) { ip[6] ^= 0x40; }) == 3);        // must not
  CHECK(groupsWith(false, true, [](Header ip, Header) { ip[7] ^= 1; }) == 3);           // a later one
  CHECK(groupsWith(false, true, [](Header ip, Header) { ip[10] ^= 1; }, DAMAGED) == 3);    // bad header checksum
  CHECK(groupsWith(false, false, [](Header ip, Header) { ip[9] = 132; }, DAMAGED) == 3);   // neither TCP nor UDP

  Recipe recipe = randomRecipe(true);
  recipe.payload = any.bytes(5 * recipe.size);
  recipe.flags = ACK;
  const std::vector<Bytes> packets = cut(recipe);
  const auto groupsOf = [&](std::initializer_list<int> peers, std::initializer_list<int> verdicts, bool allow) {
    Batch batch;
    for (size_t index = 0; index < peers.size(); index++)
      batch.add(packets[index], peers.begin()[index], verdicts.begin()[index]);
    return batch.run(allow, allow);
  };
  CHECK(groupsOf({1, 1, 1, 1}, {0, 0, 0, 0}, true) == 1);
  CHECK(groupsOf({1, 1, 2, 2}, {0, 0, 0, 0}, true) == 2);
  CHECK(groupsOf({1, 1, 1, 1}, {0, 0, 3, 9}, true) == 1);
  CHECK(groupsOf({1, 1, 1, 1}, {7, 8, 3, 9}, true) == 0);
  CHECK(groupsOf({1, 1, 1, 1}, {0, 0, 0, 0}, false) == 4);
  printf("the rules of merging hold\n");
}

/** A damaged first packet is left alone, and what follows still merges; hundreds of flows at once do too. */
void tryEdges() {
  Recipe recipe = randomRecipe(true);
  recipe.size = 100, recipe.flags = ACK, recipe.payload = any.bytes(500);
  std::vector<Bytes> segments = cut(recipe);
  segments[0].back() ^= 1;
  Batch damaged;
  for (const Bytes& segment : segments) damaged.add(segment);
  CHECK(damaged.run() == 2 && damaged.groups[GROUP_COUNT] == 1 && damaged.groups[GROUP_WORDS + GROUP_COUNT] == 4);
  virtio_net_hdr hdr;
  CHECK(damaged.written(0, &hdr) == segments[0] && hdr.flags == 0 && hdr.gso_type == GSO_NONE && hdr.hdr_len == 0);

  damaged.rows[size_t(damaged.groups[GROUP_WORDS + GROUP_FIRST] * ROW_WORDS + NEXT)] = -1;
  iovec slices[MAX_SLICES];
  CHECK(gather(damaged.slab.data(), damaged.rows.data(), &damaged.groups[GROUP_WORDS], &hdr, slices, MAX_SLICES) == -1);

  // A merged packet is at most 65,535 bytes; a shorter segment ends it, and a longer one does not go into it.
  Recipe large = randomRecipe(true);
  large.flags = ACK;
  large.size = 1400;
  const auto groupsOf = [&](int length, int lengthAfter) {
    Batch batch;
    for (int bytes : {length, lengthAfter}) {
      large.payload = any.bytes(bytes);
      for (const Bytes& segment : cut(large)) batch.add(segment);
      large.sequence += static_cast<uint32_t>(bytes);
      large.identification = static_cast<uint16_t>(large.identification + large.segments());
    }
    return batch.run();
  };
  const int most = (65535 - large.header()) / 1400;
  CHECK(groupsOf(1400 * most, 1400) == 2 && groupsOf(1400 * (most - 1), 1400) == 1);
  CHECK(groupsOf(1450, 1450) == 2 && groupsOf(50, 1400) == 2 && groupsOf(1400, 50) == 1);

  // A pure acknowledgement between two segments keeps its place.
  Recipe empty = recipe;
  empty.udp = recipe.udp = false;
  empty.payload.clear();
  empty.sequence += 100;
  Batch acknowledged;
  acknowledged.add(cut(recipe)[0]);
  acknowledged.add(build(empty, 0, 0, 1, true));
  acknowledged.add(cut(recipe)[1]);
  CHECK(acknowledged.run() == 3);

  for (int flows : {400, 5000}) {
    Batch many;
    std::vector<std::vector<Bytes>> all;
    for (int flow = 0; flow < flows; flow++) {
      recipe.ports = any.bytes(4);
      all.push_back(cut(recipe));
    }
    for (size_t index : {0, 1})
      for (int flow = 0; flow < flows; flow++) many.add(all[size_t(flow)][index], flow);
    const int made = many.run();
    CHECK(flows == 400 ? made == 400 : made >= 5000 && made < 9500);
  }
  printf("damaged first packets, acknowledgements and many flows are taken well\n");
}

/** A packet as an adversary, or a bug, would have it: changed, shortened, lengthened, or noise. */
Bytes mutated(const Recipe& recipe, virtio_net_hdr* hdr) {
  const int length = static_cast<int>(recipe.payload.size());
  Bytes packet = build(recipe, 0, std::min(length, 600), 0, any.one(2));
  *hdr = headerOf(recipe, !any.one(4));
  if (any.one(20)) packet = any.bytes(any.between(1, 200));
  if (any.one(3)) packet.resize(static_cast<size_t>(any.between(1, static_cast<int>(packet.size()))));
  for (int changes = any.between(0, 3); changes > 0; changes--) {
    const int within = any.one(3) ? static_cast<int>(packet.size()) : std::min(static_cast<int>(packet.size()), 80);
    packet[static_cast<size_t>(any.between(0, within - 1))] = static_cast<uint8_t>(any.next());
  }
  // Lengths that agree get further.
  const bool ipv4 = packet[0] >> 4 == 4;
  if (packet.size() >= 40 && any.one(2)) store16(&packet[ipv4 ? 2 : 4], int(packet.size()) - (ipv4 ? 0 : 40));
  if (any.one(4)) reinterpret_cast<uint8_t*>(hdr)[any.between(0, 9)] = static_cast<uint8_t>(any.next());
  if (any.one(6)) hdr->gso_size = static_cast<uint16_t>(any.between(0, 9));
  return packet;
}

void tryMalformed(int count) {
  int accepted = 0, merged = 0;
  uint64_t touched = 0;
  for (int done = 0; done < count;) {
    Recipe recipe = randomRecipe(any.one(2));
    recipe.payload.resize(std::min(recipe.payload.size(), size_t(600)));
    Batch batch;
    for (const int until = std::min(count, done + any.between(1, 60)); done < until; done++) {
      virtio_net_hdr hdr;
      const Bytes packet = mutated(recipe, &hdr);
      const Bytes good = build(recipe, 0, static_cast<int>(recipe.payload.size()), done, true);
      batch.add(any.one(3) ? packet : good, any.between(0, 1));
      std::unique_ptr<uint8_t[]> exact(new uint8_t[packet.size()]);
      std::copy(packet.begin(), packet.end(), exact.get());
      int32_t row[ROW_WORDS];
      const int result = inspect(exact.get(), static_cast<int>(packet.size()), &hdr, row);
      CHECK(result == 0 ? row[SEGMENTS] >= 1 && row[LENGTH] <= static_cast<int>(packet.size()) : row[SEGMENTS] == 0);
      if (result < 0) continue;
      accepted++;
      if (any.one(10)) row[any.between(GSO, HEADER)] = any.between(-2, 1000);  // what `inspect` did not write
      Segmenter segmenter(exact.get(), row);
      uint8_t* segment;
      for (int length; segmenter.next(&segment, &length);) touched += sum(segment, length);
      if (any.one(2)) recipe.sequence += static_cast<uint32_t>(recipe.payload.size());
    }
    std::vector<int> seen(batch.rows.size() / ROW_WORDS);
    const int groups = batch.run();
    for (int index = 0; index < groups; index++) {
      virtio_net_hdr hdr;
      const Bytes bytes = batch.written(index, &hdr);
      touched += sum(bytes.data(), static_cast<int>(bytes.size()));
      const int32_t* const group = batch.groups.data() + index * GROUP_WORDS;
      merged += group[GROUP_COUNT] > 1;
      int row = group[GROUP_FIRST];
      for (; row >= 0; row = batch.rows[size_t(row * ROW_WORDS + NEXT)]) seen[size_t(row)]++;
    }
    CHECK(std::all_of(seen.begin(), seen.end(), [](int times) { return times == 1; }));
  }
  printf("%d malformed packets: %d taken as well-formed, %d groups (%llx)\n", count, accepted, merged,
         static_cast<unsigned long long>(touched));
  CHECK(accepted > count / 10 && accepted < count && merged > 100);
}

}  // namespace

int main() {
  tryChecksum();
  trySegmentation(600);
  tryRefusals();
  tryRoundTrips(600);
  tryMixtures(200);
  tryRules();
  tryEdges();
  tryRing(200000);
  tryMalformed(250000);
  return 0;
}
