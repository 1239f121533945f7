"""The hash slot of a key in a Redis Cluster. `slots.py` defines it; here is its native twin."""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memchr

from shardload.encoding.native._payloads cimport Value

cdef extern from *:
    """
    /* CRC16 of the XMODEM protocol: polynomial 0x1021, not reflected, start 0. sl_crc16[n] is for a byte that n others
       follow, so that four bytes are done at a time (slicing, after Kounavis and Berry, 2005). */
    static uint16_t sl_crc16[4][256];

    static void sl_crc16_prepare(void) {
        for (int byte = 0; byte < 256; byte++) {
            uint16_t crc = (uint16_t)(byte << 8);
            for (int bit = 0; bit < 8; bit++)
                crc = (uint16_t)(crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
            sl_crc16[0][byte] = crc;
        }
        for (int after = 1; after < 4; after++)
            for (int byte = 0; byte < 256; byte++) {
                uint16_t crc = sl_crc16[after - 1][byte];
                sl_crc16[after][byte] = (uint16_t)((crc << 8) ^ sl_crc16[0][crc >> 8]);
            }
    }

    static uint16_t sl_crc16_of(const uint8_t *text, Py_ssize_t size) {
        uint16_t crc = 0;
        for (; size >= 4; size -= 4, text += 4)
            crc = sl_crc16[3][text[0] ^ (crc >> 8)] ^ sl_crc16[2][text[1] ^ (crc & 0xFF)]
                ^ sl_crc16[1][text[2]] ^ sl_crc16[0][text[3]];
        for (; size > 0; size--, text++)
            crc = (uint16_t)((crc << 8) ^ sl_crc16[0][(crc >> 8) ^ *text]);
        return crc;
    }
    """
    void sl_crc16_prepare() noexcept nogil
    uint16_t sl_crc16_of(const uint8_t *text, Py_ssize_t size) noexcept nogil


cdef inline int slot_of(const Value *key) noexcept nogil:
    """The key's slot, 0 to 16383. If the key has a hash tag (`{tag}`, not empty), only the tag decides."""
    cdef const uint8_t *text = key.data
    cdef const uint8_t *start
    cdef const uint8_t *end
    cdef Py_ssize_t size = key.size
    start = <const uint8_t *>memchr(text, 123, size)  # {
    if start is not NULL:
        start += 1
        end = <const uint8_t *>memchr(start, 125, key.data + key.size - start)  # }
        if end is not NULL and end > start:
            text = start
            size = end - start
    return sl_crc16_of(text, size) & 0x3FFF
