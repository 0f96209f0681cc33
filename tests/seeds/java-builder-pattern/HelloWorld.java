/** Says where it was loaded from: the archive that was carried from one image to the other. */
public class HelloWorld {
    public static void main(String[] arguments) {
        String place = HelloWorld.class.getProtectionDomain().getCodeSource().getLocation().getPath();
        System.out.println("loaded from " + place);
    }
}
