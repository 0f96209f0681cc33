import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** Counts down, so that there is more to see than a constant. */
public class HelloWorld {
    public static void main(String[] arguments) {
        String count = IntStream.iterate(3, n -> n > 0, n -> n - 1).mapToObj(Integer::toString).collect(Collectors.joining(", "));
        System.out.println(count + ", Java is up");
    }
}
