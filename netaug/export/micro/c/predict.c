/* Prints the most likely label of an image: a binary PPM file (P6) of exactly the network's size. */
#include <stdio.h>
#include "labels.h"
#include "net.h"
#include "preprocess.h"

static uint8_t image[NET_INPUT_SIZE];

int main(int count, char **words) {
  int width, height, most;
  FILE *file = count == 2 ? fopen(words[1], "rb") : NULL;
  if (!file) return fprintf(stderr, "usage: predict IMAGE.ppm\n"), 2;
  if (fscanf(file, "P6 %d %d %d", &width, &height, &most) != 3 || fgetc(file) == EOF || width != NET_INPUT_WIDTH ||
      height != NET_INPUT_HEIGHT || most != 255 || fread(image, 1, sizeof image, file) != sizeof image)
    return fprintf(stderr, "not a binary PPM of %d x %d pixels\n", NET_INPUT_WIDTH, NET_INPUT_HEIGHT), 2;
  fclose(file);
  net_preprocess(image, net_input.data);
  net_run();
  int best = 0;
  for (int k = 1; k < net_outputs[0].size; k++)
    if (net_outputs[0].data[k] > net_outputs[0].data[best]) best = k;
  printf("%s\n", net_labels[best]);
  return 0;
}
