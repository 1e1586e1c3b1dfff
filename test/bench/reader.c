/* reader LIST ROUNDS: does what LIST says (f path: open, read, close; l path: readlink; d path: list; e path: does it
   exist), ROUNDS times, and prints the milliseconds of each round. LIST is read before the clock starts. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 20];

static double now_ms(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

static void act(char kind, const char *path) {
  if (kind == 'f') {
    int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (file < 0) return;
    while (read(file, buffer, sizeof buffer) == sizeof buffer) {}
    close(file);
  } else if (kind == 'l') {
    if (readlink(path, buffer, sizeof buffer) < 0) return;
  } else if (kind == 'e') {
    if (access(path, F_OK) < 0) return;
  } else if (kind == 'd') {
    DIR *folder = opendir(path);
    if (folder == NULL) return;
    while (readdir(folder) != NULL) {}
    closedir(folder);
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  FILE *list = fopen(argv[1], "r");
  if (list == NULL) return 1;
  size_t used = 0, room = 1024;
  char **lines = malloc(room * sizeof *lines);
  char *line = NULL;
  size_t length = 0;
  ssize_t got;
  while ((got = getline(&line, &length, list)) > 0) {
    if (line[got - 1] == '\n') line[got - 1] = 0;
    if (used == room) lines = realloc(lines, (room *= 2) * sizeof *lines);
    lines[used++] = strdup(line);
  }
  for (int round = 0; round < atoi(argv[2]); round++) {
    double from = now_ms();
    for (size_t i = 0; i < used; i++) act(lines[i][0], lines[i] + 2);
    printf("%.3f\n", now_ms() - from);
  }
  return 0;
}
