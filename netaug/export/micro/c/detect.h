/* From the maps of a YOLOv3 to detections. */
#ifndef NET_DETECT_H
#define NET_DETECT_H

#include <stdint.h>

typedef struct {
  float left, top, right, bottom; /* pixels of the network's input, clipped to it */
  float score;                    /* probability of an object times that of its class */
  int32_t label;
} net_detection;

/* Reads net_outputs after net_run, and writes the best detections, best first. The most likely `capacity` candidates are
   kept in `found` before overlapping ones are dropped; returns how many are left. */
int32_t net_detect(net_detection *found, int32_t capacity);

#endif
