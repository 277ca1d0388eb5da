/* The arithmetic of netaug.detect: decoding, then non-maximum suppression within each class. In float, and apart from
   net.c: a device without a floating-point unit computes it in software, for few predictions only. */
#include "detect.h"
#include <math.h>
#include "anchors.h"
#include "net.h"

static float real(const net_tensor *map, int8_t value) { return map->scale * (float)(value - map->zero); }

static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

static float within(float x, float most) { return x < 0.0f ? 0.0f : x > most ? most : x; }

static int32_t insert(net_detection *found, int32_t count, int32_t capacity, const net_detection *candidate) {
  int32_t place = count;
  while (place > 0 && found[place - 1].score < candidate->score) place--;
  if (place >= capacity) return count;
  if (count < capacity) count++;
  for (int32_t k = count - 1; k > place; k--) found[k] = found[k - 1];
  found[place] = *candidate;
  return count;
}

/* A box around (column, row) of a map, from four values and an anchor. */
static void place_box(const net_tensor *map, const int8_t *values, const float *anchor, int32_t row, int32_t column,
                      net_detection *box) {
  const float stride = (float)NET_INPUT_HEIGHT / (float)map->height;
  const float x = (sigmoid(real(map, values[0])) + (float)column) * stride;
  const float y = (sigmoid(real(map, values[1])) + (float)row) * stride;
  const float half_width = expf(fminf(real(map, values[2]), NET_MOST_GROWTH)) * anchor[0] / 2.0f;
  const float half_height = expf(fminf(real(map, values[3]), NET_MOST_GROWTH)) * anchor[1] / 2.0f;
  box->left = within(x - half_width, NET_INPUT_WIDTH);
  box->top = within(y - half_height, NET_INPUT_HEIGHT);
  box->right = within(x + half_width, NET_INPUT_WIDTH);
  box->bottom = within(y + half_height, NET_INPUT_HEIGHT);
}

static int32_t candidates_of(const net_tensor *map, const float anchors[3][2], net_detection *found, int32_t count,
                             int32_t capacity) {
  for (int32_t a = 0; a < 3; a++)
    for (int32_t row = 0; row < map->height; row++)
      for (int32_t column = 0; column < map->width; column++) {
        const int8_t *values = map->data + (row * map->width + column) * map->channels + a * (5 + NET_CLASSES);
        const float objectness = sigmoid(real(map, values[4]));
        if (objectness < NET_SCORE_THRESHOLD) continue; /* a class can only lower the score */
        net_detection box;
        place_box(map, values, anchors[a], row, column, &box);
        if (box.right <= box.left || box.bottom <= box.top) continue;
        for (int32_t c = 0; c < NET_CLASSES; c++) {
          box.label = c;
          box.score = objectness * sigmoid(real(map, values[5 + c]));
          if (box.score >= NET_SCORE_THRESHOLD) count = insert(found, count, capacity, &box);
        }
      }
  return count;
}

static float overlap(const net_detection *a, const net_detection *b) {
  const float width = fminf(a->right, b->right) - fmaxf(a->left, b->left);
  const float height = fminf(a->bottom, b->bottom) - fmaxf(a->top, b->top);
  if (width <= 0.0f || height <= 0.0f) return 0.0f;
  const float both = (a->right - a->left) * (a->bottom - a->top) + (b->right - b->left) * (b->bottom - b->top);
  return width * height / (both - width * height);
}

int32_t net_detect(net_detection *found, int32_t capacity) {
  int32_t count = 0, kept = 0;
  for (int32_t o = 0; o < NET_OUTPUTS; o++)
    count = candidates_of(&net_outputs[o], &net_anchors[3 * o], found, count, capacity);
  for (int32_t k = 0; k < count; k++) {
    int32_t other = 0;
    while (other < kept && (found[other].label != found[k].label || overlap(&found[other], &found[k]) <= NET_NMS_IOU))
      other++;
    if (other == kept) found[kept++] = found[k];
  }
  return kept;
}
