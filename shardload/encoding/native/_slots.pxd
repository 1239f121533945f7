"""The hash slot of a key in a Redis Cluster. `slots.py` defines it; here is its native twin."""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memchr

from shardload.encoding.native._payloads cimport Value

cdef extern from *:
    """
    static uint16_t sl_crc16_table[256]; /* XMODEM: polynomial 0x1021, not reflected, start 0 */

    static void sl_crc16_prepare(void) {
        for (int byte = 0; byte < 256; byte++) {
            uint16_t crc = (uint16_t)(byte << 8);
            for (int bit = 0; bit < 8; bit++)
                crc = (uint16_t)(crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
            sl_crc16_table[byte] = crc;
        }
    }
    """
    uint16_t sl_crc16_table[256]
    void sl_crc16_prepare() noexcept nogil


cdef inline int slot_of(const Value *key) noexcept nogil:
    """The key's slot, 0 to 16383. If the key has a hash tag (`{tag}`, not empty), only the tag decides."""
    cdef const uint8_t *text = key.data
    cdef const uint8_t *start
    cdef const uint8_t *end
    cdef Py_ssize_t size = key.size, at
    cdef uint16_t crc = 0
    start = <const uint8_t *>memchr(text, 123, size)  # {
    if start is not NULL:
        start += 1
        end = <const uint8_t *>memchr(start, 125, key.data + key.size - start)  # }
        if end is not NULL and end > start:
            text = start
            size = end - start
    for at in range(size):
        crc = <uint16_t>((crc << 8) ^ sl_crc16_table[(crc >> 8) ^ text[at]])
    return crc & 0x3FFF
