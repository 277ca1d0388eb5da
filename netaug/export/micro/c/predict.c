/* Prints the most likely label of an image, or the objects that a detector finds (-DNET_DETECTOR): a binary PPM file (P6),
   for a network of gray images a binary PGM file (P5), of exactly the network's size. */
#include <stdio.h>
#include "labels.h"
#include "net.h"
#include "preprocess.h"

#define KIND (NET_INPUT_CHANNELS == 1 ? '5' : '6')
#define NAME (NET_INPUT_CHANNELS == 1 ? "PGM" : "PPM")

static uint8_t image[NET_INPUT_SIZE];

#ifdef NET_DETECTOR
#include "detect.h"

static void print_answer(void) {
  static net_detection found[100];
  const int32_t count = net_detect(found, 100);
  for (int32_t k = 0; k < count; k++)
    printf("%5.1f %%  %s  %.1f %.1f %.1f %.1f\n", 100.0 * (double)found[k].score, net_labels[found[k].label],
           (double)found[k].left, (double)found[k].top, (double)found[k].right, (double)found[k].bottom);
}
#else
static void print_answer(void) {
  int32_t best = 0;
  for (int32_t k = 1; k < net_outputs[0].size; k++)
    if (net_outputs[0].data[k] > net_outputs[0].data[best]) best = k;
  printf("%s\n", net_labels[best]);
}
#endif

/* The next number of a header, whose words are apart by white space and by comments from # to the end of a line. */
static int read_number(FILE *file) {
  int next = fgetc(file), number = -1;
  while (next == ' ' || next == '\t' || next == '\r' || next == '\n' || next == '#') {
    if (next == '#')
      while (next != '\n' && next != EOF) next = fgetc(file);
    next = fgetc(file);
  }
  for (; next >= '0' && next <= '9' && number < 100000; next = fgetc(file))
    number = (number < 0 ? 0 : number) * 10 + next - '0';
  return number; /* the one character behind the number is read, too */
}

int main(int count, char **words) {
  FILE *file = count == 2 ? fopen(words[1], "rb") : NULL;
  if (!file) return fprintf(stderr, "usage: predict IMAGE.%s\n", NET_INPUT_CHANNELS == 1 ? "pgm" : "ppm"), 2;
  const int known = fgetc(file) == 'P' && fgetc(file) == KIND && read_number(file) == NET_INPUT_WIDTH &&
                    read_number(file) == NET_INPUT_HEIGHT && read_number(file) == 255;
  if (!known || fread(image, 1, sizeof image, file) != sizeof image)
    return fprintf(stderr, "not a binary %s of %d x %d pixels\n", NAME, NET_INPUT_WIDTH, NET_INPUT_HEIGHT), 2;
  fclose(file);
  net_preprocess(image, net_input.data);
  net_run();
  print_answer();
  return 0;
}
